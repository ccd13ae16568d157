"""`kernel.cpp`: the inner loops over posting lists, compiled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.store.parts import Coded, Codes, Counts, Lists, Part, Row
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

def occurrences(lists: Sequence[Coded], rows: NDArray[np.uint16], lengths: int) -> NDArray[np.float64]:
    """How often rows (ascending) hold the token of each list, weighted by column: (rows, lists).

    `lengths` is the number of different lengths that the codes are made with.
    """

def codes(rows: NDArray[np.uint16], counts: Counts, places: NDArray[np.uint16], lengths: int, tabled: int) -> Codes:
    """A list's occurrences times `lengths`, plus the place of each row: in 16 bits where all counts are below `tabled`,
    else in 32.

    Raises IndexError for a row without place, TypeError and ValueError as `best`.
    """
