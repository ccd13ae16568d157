"""`matching.cpp`: how much of a question each sentence says, by the stems of both, compiled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def coverage(
    weights: dict[str, float],
    pairs: frozenset[tuple[str, str]],
    sentences: Sequence[tuple[str, int, int, bool]],
    above: Sequence[str],
    about: Sequence[str],
) -> NDArray[np.float64]:
    """(n, 4) of n sentences: the share of the question's weighted stems in each; of those left, in the sentence before
    it and the heading that it stands under; of those left, in its passage; the share of the pairs of stems that stand
    side by side in it.

    A sentence is its line (`words.stem_line`), the number of its passage, its position there, and whether it is a
    heading. Of each passage there are the stems of the heading above it and of all that is said about it. Raises
    ValueError where a passage is missing.
    """
