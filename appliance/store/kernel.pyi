"""`kernel.cpp`: the inner loops over posting lists, compiled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.store.bm25 import Counted
from appliance.store.neighbours import Place
from appliance.store.parts import Codes, Counts, Lists, Part, Row
from appliance.types import Ids

def best(
    parts: Sequence[Part],
    words: Sequence[tuple[float, Lists]],
    phrases: Sequence[tuple[float, Ids, Counts]],
    eligible: Ids | None,
    k: int,
) -> list[Row]:
    """The `k` rows with the largest BM25, the best first; those with the same score by chunk id.

    Each word comes with what no row's score from it can reach and its lists, the weightiest first; each phrase with the
    same bound, its chunks (ascending) and its occurrences in halves; `eligible` are the chunks (ascending) that may be
    found, None for all. Raises TypeError for an array of another type, ValueError
    for arrays that do not fit together.
    """

def occurrences(parts: Sequence[Part], words: Sequence[Lists | None], ids: Ids) -> Counted | None:
    """How often chunks (ascending) hold the token of each word, weighted by column, and how many tokens they have; a
    word without lists counts 0. None where the parts do not hold them all.

    Raises TypeError and ValueError as `best`.
    """

def with_neighbours(places: Sequence[Place], longest: int) -> Ids:
    """Those chunks, and in documents of at most `longest` those beside them; ascending, each once."""

def in_context(
    places: Sequence[Place],
    longest: int,
    ids: Ids,
    counted: Counted,
    bounds: Sequence[float],
    least: float,
    each: float,
) -> dict[int, float]:
    """BM25 of those chunks, by chunk: `with_neighbours` gives the `ids`, whose occurrences and lengths are `counted`.

    What stands beside a chunk counts 1 / (the chunks of its document). `bounds` are what no row's score from each term
    can reach; a row of D tokens is normed by `least` + `each` * D. Raises TypeError and ValueError as `best`, and
    ValueError for a chunk that was not counted.
    """

def codes(rows: NDArray[np.uint16], counts: Counts, places: NDArray[np.uint16], lengths: int, tabled: int) -> Codes:
    """A list's occurrences times `lengths`, plus the place of each row: in 16 bits where all counts are below `tabled`,
    else in 32.

    Raises IndexError for a row without place, TypeError and ValueError as `best`.
    """
