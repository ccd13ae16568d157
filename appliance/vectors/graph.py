"""Approximate search: one hnswlib graph with the locking that hnswlib lacks."""

from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids, Matrix, Vector
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
        self._index = hnswlib.Index("ip", dimensions)
        self._index.init_index(max(capacity, 1024), M=M, ef_construction=EF_CONSTRUCTION)
        self._index.set_ef(LEAST_EF)
        self._lock = SharedLock()
        self._held = LiveIds.of(np.empty(0, dtype=np.int64))

    @classmethod
    def load(cls, path: Path, dimensions: int, origin: Origin, *, threads: int) -> "Graph":
        """Read a file written by `save`; whether it is whole must be known before (a torn one may end the process)."""
        graph = cls(dimensions, origin, threads=threads)
        graph._index = hnswlib.Index("ip", dimensions)
        graph._index.load_index(str(path))
        graph._index.set_ef(LEAST_EF)  # loading resets it to 10
        graph._held = LiveIds.of(np.sort(np.array(graph._index.get_ids_list(), dtype=np.int64)))
        return graph

    @property
    def held(self) -> LiveIds:
        return self._held

    @property
    def ef(self) -> int:
        """How many candidates a search keeps; hnswlib itself keeps k where k is larger."""
        return int(self._index.ef)

    def measured(self, recall: Recall) -> None:
        """From now on search as wide as this was measured with."""
        with self._lock.exclusive():
            self._index.set_ef(recall.ef)
            self.recall = recall

    def search(self, vector: Vector, k: int) -> tuple[Ids, NDArray[np.float32]]:
        """(ids, cosines) of up to `k` nearest live vectors, best first; none when fewer than k can be reached."""
        with self._lock.shared():
            k = min(k, self._held.count)
            if not k:
                return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
            try:
                labels, distances = self._index.knn_query(vector, k=k, num_threads=1)
            except RuntimeError:  # "Cannot return the results in a contiguous 2D array"
                return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        return labels[0].astype(np.int64), 1 - distances[0]

    def add(self, ids: Ids, vectors: Matrix, *, at_once: int = SLICE) -> None:
        """Insert those that are not held yet, `at_once` under one lock."""
        fresh = ~self._held.known(ids)
        order = np.argsort(ids[fresh])
        ids, vectors = ids[fresh][order], vectors[fresh][order]
        for start in range(0, len(ids), at_once):
            part = slice(start, start + at_once)
            with self._lock.exclusive():
                self._make_room(len(ids[part]))
                self._index.add_items(vectors[part], ids[part], num_threads=self._threads)
                self._held = self._held.joined(ids[part])

    def remove(self, ids: Ids) -> None:
        """Those ids are no longer found; their vectors stay in the graph until it is built anew."""
        with self._lock.exclusive():
            for chunk_id in self._held.ids[self._held.positions(ids)].tolist():
                self._index.mark_deleted(chunk_id)
            self._held = self._held.without(ids)

    def vectors(self, ids: Ids) -> Matrix:
        """(m, dimensions) of those of the ids that are held and live, ascending. Slow: some 30 us each."""
        with self._lock.shared():
            wanted = self._held.ids[self._held.positions(ids)]
            return np.asarray(self._index.get_items(wanted), dtype=np.float32).reshape(len(wanted), self.dimensions)

    def save(self, path: Path) -> int:
        """Write the graph, without syncing it, and return the bytes it must have. Searches go on meanwhile."""
        with self._lock.shared():
            self._index.save_index(str(path))
            return int(self._index.index_file_size())

    def restore_dead(self, ids: Ids) -> None:
        """After `load`: the file itself knows which vectors were removed; `ids` are those."""
        self._held = self._held.without(ids)

    def _make_room(self, count: int) -> None:
        needed = self._index.get_current_count() + count
        if needed > self._index.get_max_elements():
            self._index.resize_index(max(needed, int(self._index.get_max_elements() * GROWTH)))
