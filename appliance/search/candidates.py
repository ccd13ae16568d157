"""The first stage of a search: what the dense and the lexical part each hold for best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from appliance.search.ahead import Ahead
from appliance.search.fuse import NOTHING_KNOWN, Known, Ranking
from appliance.store import LexicalResult
from appliance.telemetry.stages import Stages
from appliance.types import Ids, Query, Vector
from appliance.vectors import CollectionIndex

CANDIDATES = 100  # taken from each part, or k where that is more


@dataclass(frozen=True, slots=True)
class Candidates:
    """Both rankings, and what one part can say of ids that only the other found."""

    dense: Ranking = ()
    lexical: Ranking = ()
    known: Known = NOTHING_KNOWN
    exact: bool = True  # whether the lexical part is proved to be complete


def wanted(query: Query) -> int:
    """How many of each part are looked for."""
    return max(CANDIDATES if query.choice is None else query.choice.flags.candidates, query.k)


def candidates(
    query: Query,
    vector: Vector,
    eligible: Ids | None,
    words: Ahead[LexicalResult],
    index: Callable[[str], CollectionIndex],
    stages: Stages,
    meanwhile: Callable[[], None] = lambda: None,
) -> Candidates:
    """`wanted` of each part, as far as there are as many; `meanwhile` is done before the words are waited for.

    Raises StorageError.
    """
    if eligible is not None and not len(eligible):
        return Candidates()
    vectors = index(query.collection)
    with stages.stage("dense"):
        dense = vectors.search(vector, wanted(query), eligible)
    meanwhile()
    lexical = words.result(stages, "lexical")
    with stages.stage("dense"):
        seen = {chunk for chunk, _ in dense}
        unseen = sorted([chunk for chunk, _ in lexical.rows if chunk not in seen])
        cosines = vectors.cosines(vector, np.array(unseen, dtype=np.int64))
    floor = lexical.rows[-1][1] if len(lexical.rows) >= wanted(query) else 0.0
    return Candidates(dense, lexical.rows, Known(cosines, floor), lexical.exact)
