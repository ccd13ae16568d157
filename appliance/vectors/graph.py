"""Approximate search: one graph of hnswlib's kind (`hnsw.cpp`) with the locking that it lacks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids, Matrix, Vector
from appliance.vectors.hnsw import Hnsw
from appliance.vectors.live_ids import LiveIds
from appliance.vectors.shared_lock import SharedLock

M, EF_CONSTRUCTION = 16, 200  # hnswlib's recommendation for text embeddings of some hundred dimensions
LEAST_EF = 64  # of a graph whose recall has not been measured; `recall.measure` says how wide a search must be
GROWTH = 1.2
SLICE = 32  # vectors added under one lock: searches wait some 20 ms at most


@dataclass(frozen=True, slots=True)
class Recall:
    """recall@10 as measured with `ef`, when the graph had `vectors` live ones."""

    value: float
    ef: int
    vectors: int


@dataclass(frozen=True, slots=True)
class Origin:
    """When a graph was built (seconds since the epoch), and why: one word."""

    built_at: float
    reason: str


class Graph:
    """Inner product on unit vectors. Thread-safe: searches share a lock that a change has to itself."""

    def __init__(self, dimensions: int, origin: Origin, *, threads: int, capacity: int = 1024) -> None:
        self.dimensions = dimensions
        self.origin = origin
        self.recall: Recall | None = None
        self._threads = threads
        self._index = Hnsw(dimensions, max(capacity, 1024), M, EF_CONSTRUCTION)
        self._index.ef = LEAST_EF
        self._lock = SharedLock()
        self._held = LiveIds.of(np.empty(0, dtype=np.int64))

    @classmethod
    def load(cls, path: Path, dimensions: int, origin: Origin, *, threads: int) -> "Graph":
        """Read a file written by `save`, without the interpreter's lock. One that was changed must not be searched.

        Raises OSError, RuntimeError for one that is torn or has other parameters.
        """
        graph = cls(dimensions, origin, threads=threads)
        graph._index = Hnsw.load(str(path), dimensions, M, EF_CONSTRUCTION)
        graph._index.ef = LEAST_EF
        graph._held = LiveIds.of(np.sort(graph._index.ids()))
        return graph

    @property
    def held(self) -> LiveIds:
        return self._held

    @property
    def ef(self) -> int:
        """How many candidates a search keeps; k where k is larger."""
        return self._index.ef

    def measured(self, recall: Recall) -> None:
        """From now on search as wide as this was measured with."""
        with self._lock.exclusive():
            self._index.ef = recall.ef
            self.recall = recall

    def search(self, vector: Vector, k: int) -> tuple[Ids, NDArray[np.float32]]:
        """(ids, cosines) of up to `k` nearest live vectors, best first; none when fewer than k can be reached."""
        with self._lock.shared():
            k = min(k, self._held.count)
            if not k:
                return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
            ids, cosines = self._index.search(vector, k)
        return (ids, cosines) if len(ids) == k else (ids[:0], cosines[:0])

    def compare(self, vector: Vector, ids: Ids) -> tuple[Ids, NDArray[np.float32]]:
        """(ids, cosines) of those of the ids, ascending, that are held and live: each is compared."""
        with self._lock.shared():
            wanted = self._held.ids[self._held.positions(ids)]
            return wanted, self._index.cosines(vector, wanted)

    def add(self, ids: Ids, vectors: Matrix, *, at_once: int = SLICE) -> None:
        """Insert those that are not held yet, `at_once` under one lock."""
        fresh = ~self._held.known(ids)
        order = np.argsort(ids[fresh])
        ids, vectors = ids[fresh][order], vectors[fresh][order]
        for start in range(0, len(ids), at_once):
            part = slice(start, start + at_once)
            with self._lock.exclusive():
                self._make_room(len(ids[part]))
                self._index.add(ids[part], vectors[part], self._threads)
                self._held = self._held.joined(ids[part])

    def remove(self, ids: Ids) -> None:
        """Those ids are no longer found; their vectors stay in the graph until it is built anew."""
        with self._lock.exclusive():
            self._index.remove(self._held.ids[self._held.positions(ids)])
            self._held = self._held.without(ids)

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the ids that are held and live, ascending, with their vectors (m, dimensions)."""
        with self._lock.shared():
            wanted = self._held.ids[self._held.positions(np.sort(ids))]
            return wanted, self._index.vectors(wanted)

    def vectors(self, ids: Ids) -> Matrix:
        """(m, dimensions) of those of the ids that are held and live, ascending."""
        return self.some(ids)[1]

    def save(self, path: Path) -> int:
        """Write the graph, without syncing it, and return the bytes it must have. Searches go on meanwhile."""
        with self._lock.shared():
            return self._index.save(str(path))

    def restore_dead(self, ids: Ids) -> None:
        """After `load`: the file itself knows which vectors were removed; `ids` are those."""
        self._held = self._held.without(ids)

    def _make_room(self, count: int) -> None:
        needed = self._index.count + count
        if needed > self._index.capacity:
            self._index.resize(max(needed, int(self._index.capacity * GROWTH)))
