"""A workshop for the tests of ingestion jobs: a real store, a real reader process, the hash embedder, exact vectors."""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.inference.hash_embed import HashEmbedder
from appliance.ingest.ingestion import Ingestion
from appliance.ingest.spec import IngestSpec, TaskStatus
from appliance.store import Store
from appliance.types import Embedder, Ids, Matrix, Passage, PassageVectors


class Vectors:
    """Chunk ids with their vectors, as the ingestion reported them."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}

    def add(self, ids: Ids, vectors: Matrix) -> None:
        assert len(ids) == len(vectors)
        self.rows.update(zip(ids.tolist(), vectors, strict=True))

    def remove(self, ids: Ids) -> None:
        for number in ids.tolist():
            self.rows.pop(number, None)


class Gate(HashEmbedder):
    """The hash embedder behind a gate: batches wait while it is shut, so that tests can look at work under way."""

    def __init__(self) -> None:
        super().__init__(dimensions=16)
        self.opened = threading.Event()
        self.opened.set()
        self.reached = threading.Event()

    def embed_passages(self, passages: Any) -> list[PassageVectors]:
        self.reached.set()
        assert self.opened.wait(60)
        return super().embed_passages(passages)


class Refusing(HashEmbedder):
    """The hash embedder, failing as told: `refuse` returns the error for a batch, or None."""

    def __init__(self, refuse: Callable[[list[Passage]], Exception | None]) -> None:
        super().__init__(dimensions=16)
        self._refuse = refuse

    def embed_passages(self, passages: Any) -> list[PassageVectors]:
        error = self._refuse(list(passages))
        if error is not None:
            raise error
        return super().embed_passages(passages)


class Workshop:
    """Everything ingestion needs, in one folder; `restart` closes and opens it again."""

    def __init__(self, root: Path, embedder: Embedder | None = None, **options: Any) -> None:
        self.root = root
        self.data = root / "data"
        self.data.mkdir(exist_ok=True)
        self.documents = root / "documents"
        self.documents.mkdir(exist_ok=True)
        self.embedder = embedder or HashEmbedder(dimensions=16)
        self.options = {"breaker_s": (0.05, 0.2, 30.0), **options.pop("ingestion", {})}
        self.settings = Settings(data_dir=self.data, threads=1, **options)
        self.vectors: dict[str, Vectors] = {}
        self.changes: list[str] = []
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.data / "appliance.db")
        self.ingestion = Ingestion(
            self.store,
            lambda _: self.embedder,
            lambda name: self.vectors.setdefault(name, Vectors()),
            self.data / "spool",
            self.settings,
            **{"changed": self.changes.append, **self.options},
        )

    def close(self) -> None:
        self.ingestion.stop()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.open()
        self.ingestion.start()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ingest(self, path: Path | None = None, timeout_s: float = 60, **spec: Any) -> TaskStatus:
        """Take in a path (the documents folder) and wait for the end."""
        given = IngestSpec(directory=path or self.documents, **spec)
        return self.finished(self.ingestion.submit(given).id, timeout_s)

    def finished(self, task_id: str, timeout_s: float = 60) -> TaskStatus:
        status = self.ingestion.wait(task_id, timeout_s)
        assert status.finished_at is not None, status
        return status

    def sources(self, collection: str = "default") -> set[str]:
        return set(self.store.documents.hashes(collection))

    def names(self, collection: str = "default") -> set[str]:
        """Sources relative to the documents folder."""
        return {source.removeprefix(f"{self.documents}/") for source in self.sources(collection)}

    def assert_consistent(self) -> None:
        assert self.store.documents.check() == []
        for name, vectors in self.vectors.items():
            ids = self.store.documents.chunk_ids(name)
            assert sorted(vectors.rows) == ids.tolist()
            for batch, stored in self.store.documents.vector_source(name).vectors(0):
                for number, vector in zip(batch.tolist(), stored, strict=True):
                    assert float(np.dot(vector, vectors.rows[number])) > 0.999


@contextmanager
def writer_held(workshop: Workshop) -> Iterator[None]:
    """Another thread is in the middle of a long transaction."""
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with workshop.store.database.write():
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(20)
    try:
        yield
    finally:
        done.set()
        thread.join()


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def archive(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, text in members.items():
            target.writestr(name.replace("_", "."), text)
    return buffer.getvalue()
