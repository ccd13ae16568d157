"""The nearest vectors to a question, whatever the index is made of."""

import numpy as np

from appliance.types import Ids, Vector
from appliance.vectors.behind import Behind
from appliance.vectors.exact import ExactScan, Hits, best
from appliance.vectors.graph import Graph
from appliance.vectors.stored import StoredScan, nearer

EXACT_ELIGIBLE = 20_000  # so few are compared one by one, which loses none: half a microsecond each
WIDEST = 10_000  # most neighbours a filtered search asks the graph for; no more than it would compare otherwise

State = ExactScan | StoredScan | Graph | Behind  # what an index can be made of


def search(state: State, vector: Vector, k: int, eligible: Ids | None) -> Hits:
    """(chunk id, cosine) of the `k` nearest, best first; `eligible` (ascending ids) restricts them, losing none."""
    if isinstance(state, Behind):
        tail = state.tail.search(vector, k, eligible)  # first: what leaves it meanwhile is in the graph
        return nearer(search(state.graph, vector, k, eligible), tail, k)
    if not isinstance(state, Graph):
        return state.search(vector, k, eligible)
    if eligible is not None:
        return _eligible(state, vector, k, eligible)
    ids, scores = state.search(vector, k)
    if len(ids) < min(k, state.held.count):
        ids, scores = state.compare(vector, state.held.ids)
    return best(ids, scores, k)


def cosines(state: State, vector: Vector, ids: Ids) -> dict[int, float]:
    """Of those of the ids (ascending) that are held; each is compared."""
    if isinstance(state, Behind | StoredScan):
        return dict(search(state, vector, len(ids), ids))
    found, compared = state.compare(vector, ids)
    return dict(zip(found.tolist(), compared.tolist(), strict=True))


def _eligible(graph: Graph, vector: Vector, k: int, eligible: Ids) -> Hits:
    """The graph is asked for more neighbours the fewer are eligible; where that is not enough, each is compared."""
    held = graph.held
    width = k + int(1.5 * k * held.count / max(1, len(eligible)))
    if len(eligible) > EXACT_ELIGIBLE and width <= min(WIDEST, len(eligible)):
        ids, scores = graph.search(vector, width)
        places = np.minimum(np.searchsorted(eligible, ids), len(eligible) - 1)
        passing = eligible[places] == ids
        if np.count_nonzero(passing) >= k:
            return best(ids[passing], scores[passing], k)
    return best(*graph.compare(vector, eligible), k)
