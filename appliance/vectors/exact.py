"""Exact search: one matrix in memory, one product for each question. Right for some tens of thousands of vectors."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids, Matrix, Vector
from appliance.vectors.live_ids import LiveIds

GROWTH = 1.5
LEAST_CAPACITY = 256
DEAD_SHARE = 0.2  # of all rows; beyond it the matrix is written anew without them
AHEAD_BYTES = 8 * 1024**2  # of cosines with questions that wait
GATHER_SHARE = 0.25  # of all rows; fewer eligible ones than that are gathered, more are masked

Hits = list[tuple[int, float]]  # (chunk id, cosine), best first


@dataclass(frozen=True, slots=True)
class _View:
    """What a search works on. Rows behind it in the same memory are written before a longer view is published."""

    held: LiveIds
    matrix: Matrix  # (n, dimensions)
    ahead: OrderedDict[bytes, NDArray[np.float32]] = field(default_factory=OrderedDict)  # cosines by question


class ExactScan:
    """Thread-safe: searches take the published view and need no lock; changes are made one at a time."""

    def __init__(self, dimensions: int, capacity: int = 0) -> None:
        self._change = threading.Lock()
        self._memory = np.empty((max(capacity, LEAST_CAPACITY), dimensions), dtype=np.float32)
        self._view = _View(LiveIds.of(np.empty(0, dtype=np.int64)), self._memory[:0])

    @property
    def held(self) -> LiveIds:
        return self._view.held

    def search(self, vector: Vector, k: int, eligible: Ids | None) -> Hits:
        """The `k` nearest live rows, restricted to `eligible` (ascending) when it is given."""
        view = self._view
        if eligible is not None:
            return best(*_compared(view, vector, view.held.positions(eligible)), k)
        if view.held.dead:
            return best(*_compared(view, vector, np.flatnonzero(view.held.live)), k)
        return best(view.held.ids, _cosines(view, vector), k)

    def compare(self, vector: Vector, ids: Ids) -> tuple[Ids, NDArray[np.float32]]:
        """(ids, cosines) of those of the ids, ascending, that are held and live; after a search for the vector."""
        view = self._view
        rows = view.held.positions(ids)
        known = view.ahead.pop(vector.tobytes(), None)
        return view.held.ids[rows], view.matrix[rows] @ vector if known is None else known[rows]

    def prepare(self, vectors: Matrix) -> None:
        """Compare these questions with every row in one pass; each is searched for soon, then compared with some, once.

        A search is a walk through all the memory of the matrix, which eight questions may share: .18 ms each, not .57
        (10,000 vectors of 384). The other way round, `vectors @ matrix.T`, BLAS gains nothing.
        """
        view = self._view
        for vector, cosines in zip(vectors, np.ascontiguousarray((view.matrix @ vectors.T).T), strict=True):
            view.ahead[vector.tobytes()] = cosines
        most = max(len(vectors), AHEAD_BYTES // (4 * len(view.matrix) + 1))
        while len(view.ahead) > most:
            view.ahead.popitem(last=False)

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Rows for ids that are not held yet; the others are left as they are."""
        with self._change:
            fresh = ~self.held.known(ids)
            order = np.argsort(ids[fresh])
            new_ids, rows = ids[fresh][order], vectors[fresh][order]
            if not len(new_ids):
                return
            if len(self.held.ids) and new_ids[0] < self.held.ids[-1]:
                self._merge(new_ids, rows)
            else:
                self._append(new_ids, rows)

    def remove(self, ids: Ids) -> None:
        """Those rows are no longer found; their memory is given back when there are many."""
        with self._change:
            view = _View(self.held.without(ids), self._view.matrix)
            self._view = view
            if view.held.dead > max(DEAD_SHARE * len(view.held.ids), LEAST_CAPACITY):
                kept = view.held.live
                self._replace(view.held.ids[kept], view.matrix[kept])

    def vectors(self, ids: Ids) -> Matrix:
        """(m, dimensions) of those of the ids that are held and live."""
        return self.some(ids)[1]

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the ids that are held and live, ascending, with their vectors (m, dimensions)."""
        view = self._view
        rows = view.held.positions(np.sort(ids))
        return view.held.ids[rows], view.matrix[rows]

    def _append(self, ids: Ids, rows: Matrix) -> None:
        count, needed = len(self.held.ids), len(self.held.ids) + len(ids)
        if needed > len(self._memory):
            capacity = max(needed, min(int(len(self._memory) * GROWTH), needed + 65_536))
            memory = np.empty((capacity, self._memory.shape[1]), dtype=np.float32)
            memory[:count] = self._view.matrix
            self._memory = memory
        self._memory[count:needed] = rows
        self._view = _View(self.held.followed_by(ids), self._memory[:needed])

    def _merge(self, ids: Ids, rows: Matrix) -> None:
        """Ids that come out of order; rare, so everything is written anew."""
        kept = self.held.live
        all_ids = np.concatenate([self.held.ids[kept], ids])
        order = np.argsort(all_ids)
        self._replace(all_ids[order], np.concatenate([self._view.matrix[kept], rows])[order])

    def _replace(self, ids: Ids, rows: Matrix) -> None:
        self._memory = rows
        self._view = _View(LiveIds.of(ids), rows)


def _cosines(view: _View, vector: Vector) -> NDArray[np.float32]:
    """(n,) with every row, perhaps computed before."""
    known = view.ahead.get(vector.tobytes()) if view.ahead else None
    found: NDArray[np.float32] = view.matrix @ vector if known is None else known
    return found


def _compared(view: _View, vector: Vector, rows: NDArray[np.intp]) -> tuple[Ids, NDArray[np.float32]]:
    """Ids and cosines of some rows."""
    few = len(rows) < GATHER_SHARE * len(view.matrix)
    return view.held.ids[rows], view.matrix[rows] @ vector if few else _cosines(view, vector)[rows]


def best(ids: Ids, scores: NDArray[np.float32], k: int) -> Hits:
    """The k highest scores, best first, equal ones by id."""
    falling = -scores
    if k < len(scores):
        top = falling.argpartition(k - 1)[:k]
        ids, falling = ids[top], falling[top]
    order = np.lexsort((ids, falling))
    return list(zip(ids[order].tolist(), (-falling[order]).tolist(), strict=True))
