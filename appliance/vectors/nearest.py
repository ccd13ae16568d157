"""The nearest vectors to a question, whatever the index is made of."""

import numpy as np

from appliance.types import Ids, Vector
from appliance.vectors.exact import ExactScan, Hits, best
from appliance.vectors.graph import Graph
from appliance.vectors.source import VectorSource

EXACT_ELIGIBLE = 1_000  # so few eligible vectors are read from the database and compared one by one
WIDEST = 10_000  # most neighbours a filtered search asks the graph for; no more than it would compare otherwise
READ_AT_ONCE = 4_096


def search(state: ExactScan | Graph, source: VectorSource, vector: Vector, k: int, eligible: Ids | None) -> Hits:
    """(chunk id, cosine) of the `k` nearest, best first; `eligible` (ascending ids) restricts them, losing none."""
    if isinstance(state, ExactScan):
        return state.search(vector, k, eligible)
    if eligible is not None:
        return _eligible(state, source, vector, k, eligible)
    ids, scores = state.search(vector, k)
    if len(ids) < min(k, state.held.count):
        return _compared(source, vector, k, state.held.ids[state.held.live])
    return best(ids, scores, k)


def _eligible(graph: Graph, source: VectorSource, vector: Vector, k: int, eligible: Ids) -> Hits:
    """The graph is asked for more neighbours the fewer are eligible; where that is not enough, each is compared."""
    held = graph.held
    rows = held.positions(eligible)
    if not len(rows):
        return []
    width = k + int(1.5 * k * held.count / len(rows))
    if len(rows) > EXACT_ELIGIBLE and width <= min(WIDEST, len(rows)):
        ids, scores = graph.search(vector, width)
        places = np.minimum(np.searchsorted(eligible, ids), len(eligible) - 1)
        passing = eligible[places] == ids
        if np.count_nonzero(passing) >= min(k, len(rows)):
            return best(ids[passing], scores[passing], k)
    return _compared(source, vector, k, held.ids[rows])


def _compared(source: VectorSource, vector: Vector, k: int, ids: Ids) -> Hits:
    """Compare with the stored vectors of `ids`, some at a time."""
    top: Hits = []
    for start in range(0, len(ids), READ_AT_ONCE):
        found, vectors = source.some(ids[start : start + READ_AT_ONCE])
        top = sorted([*top, *best(found, vectors @ vector, k)], key=lambda hit: (-hit[1], hit[0]))[:k]
    return top
