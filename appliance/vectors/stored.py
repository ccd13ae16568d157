"""Exact search without a matrix: the vectors are read from the database for each question.

Seconds with a million vectors; for the time until a graph is built, where memory does not hold both.
"""

import threading

from appliance.types import Ids, Matrix, Vector
from appliance.vectors.exact import Hits, best
from appliance.vectors.live_ids import LiveIds
from appliance.vectors.source import VectorSource

READ_AT_ONCE = 4_096


class StoredScan:
    """Thread-safe. It holds ids alone, and none that was removed."""

    def __init__(self, source: VectorSource, ids: Ids) -> None:
        self._source = source
        self._held = LiveIds.of(ids)
        self._change = threading.Lock()

    @property
    def held(self) -> LiveIds:
        return self._held

    def search(self, vector: Vector, k: int, eligible: Ids | None) -> Hits:
        """The `k` nearest, restricted to `eligible` (ascending) when it is given."""
        held = self._held
        return compared(self._source, vector, k, held.ids if eligible is None else held.ids[held.positions(eligible)])

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Ids that are not held yet; their `vectors` are in the database."""
        with self._change:
            self._held = self._held.joined(ids[~self._held.known(ids)])

    def remove(self, ids: Ids) -> None:
        with self._change:
            left = self._held.without(ids)
            self._held = LiveIds.of(left.ids[left.live])

    def vectors(self, ids: Ids) -> Matrix:
        """(m, dimensions) of those of the ids that are held, ascending."""
        return self._source.some(ids[self._held.known_live(ids)])[1]


def compared(source: VectorSource, vector: Vector, k: int, ids: Ids) -> Hits:
    """The `k` nearest of `ids`, by their stored vectors, some at a time."""
    top: Hits = []
    for start in range(0, len(ids), READ_AT_ONCE):
        found, vectors = source.some(ids[start : start + READ_AT_ONCE])
        top = nearer(top, best(found, vectors @ vector, k), k)
    return top


def nearer(some: Hits, others: Hits, k: int) -> Hits:
    """The k best of both; an id that is in both counts once."""
    merged = {**dict(others), **dict(some)}
    return sorted(merged.items(), key=lambda hit: (-hit[1], hit[0]))[:k]
