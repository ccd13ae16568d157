"""Clustered vectors, as texts give them, and the smallest possible source of truth about them."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from appliance.types import Ids, Matrix, Vector
from appliance.vectors import CollectionIndex
from appliance.vectors.build import as_stored


def clustered(count: int, dimensions: int, *, clusters: int = 50, seed: int = 1, spread: float = 0.8) -> Matrix:
    """(count, dimensions) unit vectors around random centres (the centres depend on the dimensions alone)."""
    centres = np.random.default_rng(0).normal(size=(clusters, dimensions))
    rng = np.random.default_rng(seed)
    points = centres[rng.integers(0, clusters, count)] + spread * rng.normal(size=(count, dimensions))
    unit: Matrix = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


class MemorySource:
    """A VectorSource in memory: what a database would hold after each commit."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._rows: dict[int, Vector] = {}
        self._lock = threading.Lock()

    def commit(self, ids: Ids, vectors: Matrix) -> None:
        with self._lock:
            self._rows.update(zip(ids.tolist(), as_stored(vectors), strict=True))

    def delete(self, ids: Ids) -> None:
        with self._lock:
            for chunk_id in ids.tolist():
                self._rows.pop(chunk_id, None)

    def ids(self) -> Ids:
        with self._lock:
            return np.array(sorted(self._rows), dtype=np.int64)

    def vectors(self, after: int) -> Iterator[tuple[Ids, Matrix]]:
        while True:
            ids = self.ids()
            batch = ids[ids > after][:1000]
            if not len(batch):
                return
            yield self.some(batch)
            after = int(batch[-1])

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        with self._lock:
            found = [chunk_id for chunk_id in sorted(ids.tolist()) if chunk_id in self._rows]
            rows = [self._rows[chunk_id] for chunk_id in found]
        return np.array(found, dtype=np.int64), np.array(rows, dtype=np.float32).reshape(len(found), self._dimensions)

    def nearest(self, vector: Vector, k: int, eligible: Ids | None = None) -> list[int]:
        """The truth, by comparing with everything."""
        ids, vectors = self.some(self.ids() if eligible is None else eligible)
        best: list[int] = ids[np.argsort(-(vectors @ vector), kind="stable")[:k]].tolist()
        return best


DIMENSIONS = 24
VECTORS = clustered(4_000, DIMENSIONS)
IDS = np.arange(1, 4_001, dtype=np.int64)
Opener = Callable[..., CollectionIndex]


def put(index: CollectionIndex, source: MemorySource, part: slice) -> None:
    source.commit(IDS[part], VECTORS[part])
    index.add(IDS[part], VECTORS[part])


def wait_for(index: CollectionIndex, kind: str) -> None:
    deadline = time.monotonic() + 60
    while index.status().kind != kind or index.status().building:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def recall(index: CollectionIndex, source: MemorySource, eligible: Ids | None = None) -> float:
    questions = clustered(40, DIMENSIONS, seed=9)
    hits = total = 0
    for question in questions:
        truth = source.nearest(question, 10, eligible)
        hits += len(set(truth) & {i for i, _ in index.search(question, 10, eligible)})
        total += len(truth)
    return hits / total
