"""Ingestion: chunks a second through the whole pipeline beside what onnxruntime alone does on the same chunks; memory.

Both rates are measured in turns over slices of the same documents, so that a busy moment of the host hits both. The raw
rate is the bare session calls over batches that are tokenised, sorted and padded beforehand.
"""

import gc
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from appliance.allocator import give_back
from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import OnnxEmbedder
from appliance.ingest.ingestion import Ingestion
from appliance.ingest.listing import list_files
from appliance.ingest.names import path_from_bytes
from appliance.ingest.spec import IngestSpec, TaskStatus
from appliance.ingest.unit import Draft, passages
from appliance.store import Store
from appliance.types import ChunkSpan, Embedder, Passage, ReadDocument
from appliance.vectors import CollectionIndex
from bench.corpus import COLLECTION, open_models

SLICES = 4
TEXT_FOLDERS = (Path("/usr/share/doc"), Path("/usr/share/common-licenses"), Path("/usr/share/perl"))
TEXT_BYTES = (2_000, 60_000)  # smallest and largest of the host's own files that are taken
MEMORY_AT = (10_000, 20_000)  # passages
MEMORY_CHUNK_TOKENS = 32
TASK_S = 3600.0


@dataclass(frozen=True, slots=True)
class IngestRun:
    """One measurement. Rates are a second, sizes in bytes; fields that do not apply are None."""

    name: str
    documents: int
    chunks: int
    seconds: float
    chunks_per_s: float
    ratio: float | None = None  # of the raw rate
    rss_bytes: int | None = None
    vector_bytes: int | None = None


class _Workshop:
    """Ingestion over a temporary data directory."""

    def __init__(self, folder: Path, embedder: Embedder, settings: Settings) -> None:
        self.store = Store.open(folder / "appliance.db")
        self._open = self._index_opener(folder, embedder, settings)
        self._indexes: dict[str, CollectionIndex] = {}
        self.ingestion = Ingestion(self.store, lambda _: embedder, self._index, folder / "spool", settings)
        self.ingestion.start()

    def take_in(self, folder: Path) -> TaskStatus:
        """Raises InvalidRequest when nothing of it could be ingested."""
        task = self.ingestion.submit(IngestSpec(collection=COLLECTION, directory=folder))
        status = self.ingestion.wait(task.id, TASK_S)
        if status.error or status.finished_at is None:
            raise InvalidRequest(f"The benchmark could not ingest its documents: {status.error or 'too slow'}.")
        return status

    def close(self) -> None:
        self.ingestion.stop()
        for index in self._indexes.values():
            index.close()
        self.store.close()

    def _index(self, name: str) -> CollectionIndex:
        if name not in self._indexes:
            self._indexes[name] = self._open(name)
        return self._indexes[name]

    def _index_opener(self, folder: Path, embedder: Embedder, settings: Settings) -> Callable[[str], CollectionIndex]:
        return lambda name: CollectionIndex.open(
            folder / "index" / name,
            self.store.documents.vector_source(name),
            dimensions=embedder.dimensions,
            fingerprint=embedder.fingerprint,
            exact_scan_below=settings.exact_scan_below,
            threads=settings.threads,
        )


def run(data: Path | None, settings: Settings, *, documents: int = 240, memory: bool = True) -> dict[str, Any]:
    """Ingest up to `documents` files of `data` (the host's own texts when None), and 20,000 short passages for memory.

    Raises ModelError, InvalidRequest when there are too few files, StorageError.
    """
    with open_models(settings) as embedder:
        runs = bench_ingest(data, documents, embedder, settings)
        if memory:
            runs += bench_memory(embedder, settings)
    return {"runs": [asdict(one) for one in runs], "embedder": settings.embedder, "threads": settings.threads}


def bench_ingest(data: Path | None, documents: int, embedder: Embedder, settings: Settings) -> list[IngestRun]:
    """The pipeline's run, and for an ONNX embedder the raw one of the same chunks.

    Raises InvalidRequest when there are fewer than SLICES files.
    """
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        slices = _copy_slices(_files(data, documents), Path(folder))
        with _opened(Path(folder) / "data", embedder, settings) as workshop:
            workshop.take_in(_warm_up(Path(folder)))
            taken_s, raw_s, chunks, count = 0.0, 0.0, 0, 0
            for place in slices:
                before = workshop.store.documents.chunk_ids(COLLECTION)
                began = time.perf_counter()
                count += workshop.take_in(place).documents_processed
                taken_s += time.perf_counter() - began
                added = np.setdiff1d(workshop.store.documents.chunk_ids(COLLECTION), before)
                chunks += len(added)
                raw_s += _raw_seconds(embedder, _passages(workshop.store, added.tolist(), embedder))
    pipeline = IngestRun("pipeline", count, chunks, taken_s, chunks / taken_s)
    if not raw_s:
        return [pipeline]
    raw = IngestRun("raw onnxruntime", count, chunks, raw_s, chunks / raw_s)
    return [raw, IngestRun("pipeline", count, chunks, taken_s, chunks / taken_s, raw_s / taken_s)]


def bench_memory(embedder: Embedder, settings: Settings, at: Sequence[int] = MEMORY_AT) -> list[IngestRun]:
    """Resident memory of this process once so many short passages are taken in, with the bytes of their vectors."""
    runs = []
    small = settings.model_copy(update={"chunk_tokens": MEMORY_CHUNK_TOKENS})
    with (
        tempfile.TemporaryDirectory(prefix="rag-bench-") as folder,
        _opened(Path(folder) / "data", embedder, small) as workshop,
    ):
        texts = _made_texts()
        chunks = 0
        for goal in at:
            began, first = time.perf_counter(), chunks
            for part in itertools.count():
                place = Path(folder) / "texts" / f"{goal}-{part}"
                place.mkdir(parents=True)
                for number in range(min(200, max(1, (goal - chunks) // 12))):
                    (place / f"{number}.txt").write_text(next(texts), encoding="utf-8")
                workshop.take_in(place)
                chunks = len(workshop.store.documents.chunk_ids(COLLECTION))
                if chunks >= goal:
                    break
            seconds = time.perf_counter() - began
            gc.collect()
            give_back()  # as the idle worker does
            rss = psutil.Process().memory_info().rss
            documents = sum(collection.documents for collection in workshop.store.documents.collections())
            vector_bytes = chunks * embedder.dimensions * 4
            rate = (chunks - first) / seconds
            runs.append(IngestRun(f"memory at {goal:,}", documents, chunks, seconds, rate, None, rss, vector_bytes))
    return runs


@contextmanager
def _opened(folder: Path, embedder: Embedder, settings: Settings) -> Iterator[_Workshop]:
    folder.mkdir(parents=True)
    workshop = _Workshop(folder, embedder, settings)
    try:
        yield workshop
    finally:
        workshop.close()


def _files(data: Path | None, documents: int) -> list[Path]:
    """Spread over the folder, the same ones each time. Raises InvalidRequest when there are too few."""
    found: list[Path] = []
    for root in [data] if data is not None else [root for root in TEXT_FOLDERS if root.is_dir()]:
        paths = [path_from_bytes(listed.path) for listed in list_files(root, None, lambda: False) if not listed.error]
        found += paths if data is not None else [path for path in paths if _is_plain(path)]
    random.Random(1).shuffle(found)
    if len(found) < SLICES:
        raise InvalidRequest(
            "There are too few files to measure with.",
            code="too_few_files",
            hint=f"Name a folder of at least {SLICES} documents with --data.",
        )
    return found[:documents]


def _is_plain(path: Path) -> bool:
    """A text that the chunker, not the reader, is the work of."""
    if path.suffix not in {"", ".txt", ".md", ".rst", ".pod", ".pm"}:
        return False
    return TEXT_BYTES[0] <= path.stat().st_size <= TEXT_BYTES[1]


def _copy_slices(files: Sequence[Path], folder: Path) -> list[Path]:
    slices = []
    for part in range(SLICES):
        place = folder / f"slice-{part}"
        place.mkdir()
        for number, path in enumerate(files[part::SLICES]):
            shutil.copyfile(path, place / f"{number:05}{path.suffix}")
        slices.append(place)
    return slices


def _warm_up(folder: Path) -> Path:
    """Starts the reader, the threads and the caches outside of what is measured."""
    place = folder / "warm-up"
    place.mkdir()
    (place / "a.txt").write_text(next(_made_texts()), encoding="utf-8")
    return place


def _passages(store: Store, ids: Sequence[int], embedder: Embedder) -> list[Passage]:
    """What the pipeline gave the model for these chunks."""
    made: list[Passage] = []
    chunks = store.documents.chunks(ids)
    sentences = store.documents.sentences(COLLECTION, ids)
    for _, group in itertools.groupby(
        sorted(chunks.values(), key=lambda chunk: chunk.id), lambda chunk: chunk.document_id
    ):
        rows = list(group)
        spans = [
            ChunkSpan(
                row.section, row.page, row.start, row.end, row.text, row.tokens,
                tuple((int(start), int(end)) for start, end in sentences[row.id].spans),
            )
            for row in rows
        ]  # fmt: skip
        made += passages(Draft(rows[0].source, ReadDocument(rows[0].title, "", ""), spans), embedder)
    return made


def _raw_seconds(embedder: Embedder, given: Sequence[Passage]) -> float:
    """0 for an embedder that is not onnxruntime's."""
    if not isinstance(embedder, OnnxEmbedder):
        return 0.0
    batches = embedder.prepare(given)
    began = time.perf_counter()
    embedder.run_raw(batches)
    return time.perf_counter() - began


def _made_texts() -> Iterator[str]:
    """Endless texts of about a dozen short passages each; the same ones each time."""
    chance = random.Random(2)
    syllables = [first + second for first in "bdfgklmnprst" for second in ("a", "e", "i", "o", "u", "an", "el", "or")]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(5000)]
    while True:
        sentences = (" ".join(chance.choices(words, k=9)).capitalize() + "." for _ in range(14))
        yield "\n\n".join(sentences) + "\n"
