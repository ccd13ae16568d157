"""A data directory of many made passages: written through the store, indexed, and kept for the next run on demand."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import rich_click as click

from appliance.config import Settings
from appliance.errors import DiskFull, InvalidRequest
from appliance.paths import DataPaths
from appliance.search import Retrieval, beside
from appliance.store import CollectionVectors, Store
from appliance.store.inverted import MOST_ROWS
from appliance.types import Embedder, Ids, Matrix
from appliance.vectors import CollectionIndex
from bench.corpus import Text
from bench.progress import bar
from bench.synthetic import PASSAGES_PER_DOCUMENT, SEED, Advance, Base, closeness, digest, documents
from bench.synthetic import embed_base as embed
from bench.synthetic import load as load_base
from bench.synthetic import save as save_base

COLLECTION = "default"  # a server opens it by itself
FORMAT = 1
COMMIT_DOCUMENTS = 50
DISK_BYTES, MEMORY_BYTES = 9_000, 4_500  # a passage at most takes while it is made: rows, log, two graphs; see capacity
SPARE_BYTES = 1 << 30
CLOSENESS_DOCUMENTS = 10
BUILD_S, BUILD_LOOK_S = 4 * 3600.0, 1.0
LINE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a kept data directory was made of, and what making it showed; rates are None where it was made in parts."""

    format: int
    seed: int
    base: str
    passages: int
    rows_per_s: float | None = None
    vectors_per_s: float | None = None
    closeness: float | None = None

    def same(self, other: "Manifest") -> bool:
        """Whether both describe the same passages."""
        own, its = asdict(self), asdict(other)
        return all(own[name] == its[name] for name in ("format", "seed", "base", "passages"))


@dataclass(frozen=True, slots=True)
class Opened:
    """A made collection, ready to be asked."""

    store: Store
    index: CollectionIndex
    embedder: Embedder
    pool: ThreadPoolExecutor | None

    @property
    def retrieval(self) -> Retrieval:
        return Retrieval(self.store, self.embedder, lambda _: self.index, pool=self.pool)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The vectors of a collection, counted as they are read."""

    vectors_: CollectionVectors
    restart: Callable[[], None]
    advance: Advance

    def ids(self) -> Ids:
        return self.vectors_.ids()

    def vectors(self, after: int) -> Iterator[tuple[Ids, Matrix]]:
        if not after:
            self.restart()
        for ids, vectors in self.vectors_.vectors(after):
            yield ids, vectors
            self.advance(len(ids))

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        return self.vectors_.some(ids)


def kept_base(texts: list[Text], keep: Path, embedder: Embedder, chunk_tokens: int) -> tuple[str, Base]:
    """The embedded base passages and their digest; from `keep` where an earlier run left them."""
    name = digest(texts, embedder, chunk_tokens)
    path = keep / f"base-{name}.npz"
    if path.is_file():
        return name, load_base(path)
    with shown("Embedding the real passages", len(texts)) as (_, advance):
        base = embed(texts, embedder, chunk_tokens, advance)
    save_base(base, path)
    return name, base


def make(folder: Path, passages: int, name: str, base: Base, embedder: Embedder, settings: Settings) -> Manifest:
    """Fill and index a data directory, or continue where an earlier run stopped; a finished one is left as it is.

    Raises DiskFull, InvalidRequest when the host is too small or the folder holds something else.
    """
    wanted = Manifest(FORMAT, SEED, name, passages)
    path = folder / "scale.json"
    found = _read(path)
    if found is not None and not found.same(wanted):
        raise InvalidRequest(
            f"{folder} holds another made collection.", code="other_data", hint="Remove it, or name another --keep."
        )
    if found is not None and found.closeness is not None:
        return found
    check_room(folder.parent, passages)
    DataPaths(folder).create()
    _write(path, wanted)
    store = Store.open(DataPaths(folder).database)
    try:
        store.documents.ensure_collection(COLLECTION, embedder.fingerprint, embedder.dimensions)
        rows_per_s = _fill(store, base, passages)
        _postings(store, passages)
        vectors_per_s = _build(folder, store, embedder, settings, passages)
        sample = list(documents(base, CLOSENESS_DOCUMENTS * PASSAGES_PER_DOCUMENT))
        manifest = Manifest(FORMAT, SEED, name, passages, rows_per_s, vectors_per_s, closeness(sample, embedder))
    finally:
        store.close()
    _write(path, manifest)
    return manifest


def check_room(folder: Path, passages: int) -> None:
    """Raises DiskFull or InvalidRequest when making so many passages would not fit."""
    disk, memory = shutil.disk_usage(folder).free, psutil.virtual_memory().available
    need = passages * DISK_BYTES + SPARE_BYTES
    if disk < need:
        raise DiskFull(
            f"{passages:,} passages may need {need / 1e9:.1f} GB in {folder}; {disk / 1e9:.1f} GB are free.",
            hint="Name a folder on a larger disk with --keep, or fewer --passages.",
        )
    need = passages * MEMORY_BYTES + SPARE_BYTES
    if memory < need:
        raise InvalidRequest(
            f"Indexing {passages:,} passages may need {need / 1e9:.1f} GB of memory; {memory / 1e9:.1f} GB are free.",
            code="too_little_memory",
            hint="Stop other programs, or measure fewer --passages.",
        )


@contextmanager
def opened(folder: Path, embedder: Embedder, settings: Settings) -> Iterator[Opened]:
    """A finished data directory in this process."""
    store = Store.open(DataPaths(folder).database)
    try:
        _postings(store, 0)
        index = _open_index(folder, store.documents.vector_source(COLLECTION), store, embedder, settings)
        pool = beside(settings.threads)
        try:
            yield Opened(store, index, embedder, pool)
        finally:
            if pool is not None:
                pool.shutdown()
            index.close()
    finally:
        store.close()


def disk_bytes(folder: Path) -> int:
    """What the files of a data directory take."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


@contextmanager
def shown(label: str, total: int) -> Iterator[tuple[Callable[[], None], Advance]]:
    """A progress bar on a terminal, a line now and then elsewhere; gives what starts it again and what advances it."""
    done, line_at = 0, time.monotonic()
    with bar(label, total) as move:

        def restart() -> None:
            nonlocal done
            done = 0
            move(completed=0)

        def advance(count: int) -> None:
            nonlocal done, line_at
            done += count
            move(completed=done)
            if not sys.stderr.isatty() and time.monotonic() - line_at >= LINE_EVERY_S:
                line_at = time.monotonic()
                click.echo(f"{label}: {done:,} of {total:,}", err=True)

        yield restart, advance


def _fill(store: Store, base: Base, passages: int) -> float | None:
    """Write what is missing; passages a second, None when there was little left to write."""
    found = store.documents.collection(COLLECTION)
    before = found.documents if found else 0
    began = time.perf_counter()
    with shown(f"Writing {passages:,} passages", passages) as (_, advance):
        advance(before * PASSAGES_PER_DOCUMENT)
        batch = []
        for document in documents(base, passages, before):
            batch.append(document)
            if len(batch) == COMMIT_DOCUMENTS:
                store.documents.put(COLLECTION, batch)
                advance(COMMIT_DOCUMENTS * PASSAGES_PER_DOCUMENT)
                batch = []
        store.documents.put(COLLECTION, batch)
    written = passages - before * PASSAGES_PER_DOCUMENT
    return written / (time.perf_counter() - began) if written > passages / 2 else None


def _postings(store: Store, passages: int) -> None:
    """Make the posting segments, which a server makes in the background."""
    with shown("Making posting segments", passages) as (_, advance):
        while store.segments.make_next(COLLECTION):
            advance(MOST_ROWS)


def _build(folder: Path, store: Store, embedder: Embedder, settings: Settings, passages: int) -> float | None:
    """Open the index, which builds its graph where it has none; vectors a second, None where nothing was built."""
    began = time.perf_counter()
    with shown(f"Indexing {passages:,} vectors", passages) as (restart, advance):
        source = _Counted(store.documents.vector_source(COLLECTION), restart, advance)
        index = _open_index(folder, source, store, embedder, settings)
        try:
            loaded = index.status().generation is not None or passages <= settings.exact_scan_below
            while not loaded and index.status().kind == "exact" and time.perf_counter() - began < BUILD_S:
                time.sleep(BUILD_LOOK_S)
                if not index.status().building:
                    break
            if passages > settings.exact_scan_below and index.status().kind != "hnsw":
                raise InvalidRequest("The index was not built; the log says why.", code="index_not_built")
        finally:
            index.close()
    return None if loaded else passages / (time.perf_counter() - began)


def _open_index(
    folder: Path, source: _Counted | CollectionVectors, store: Store, embedder: Embedder, settings: Settings
) -> CollectionIndex:
    found = store.documents.collection(COLLECTION)
    assert found is not None
    return CollectionIndex.open(
        DataPaths(folder).index / str(found.id),
        source,
        dimensions=embedder.dimensions,
        fingerprint=embedder.fingerprint,
        exact_scan_below=settings.exact_scan_below,
        threads=settings.threads,
    )


def _read(path: Path) -> Manifest | None:
    """None when there is none. Raises InvalidRequest for a file that is something else."""
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{path} is no manifest of a made collection.", code="other_data") from error


def _write(path: Path, manifest: Manifest) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105
