"""`stemming.cpp`: words of texts and their stems (see `words.py`), cut and looked for in one pass, compiled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def stem_line(text: str) -> str:
    """The stems of a text in ASCII in their order, with a blank around each. Raises ValueError for another text."""

def held(
    texts: Sequence[str], keys: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the stems words of each text have, (texts, keys), and which pairs of keys, named by their places, two
    neighbouring words have, (texts, pairs).

    The keys are ASCII, the texts of a script with spaces between words, their letters beyond ASCII in small.
    """
