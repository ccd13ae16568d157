"""`stemming.cpp`: words of texts and their stems (see `words.py`), cut and looked for in one pass, compiled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def stem_line(text: str) -> str:
    """The stems of a text in ASCII in their order, with a blank around each. Raises ValueError for another text."""

class Passages:
    """The words of the passages read last, `most` of them, as hashes of their stems: not the texts. Thread-safe."""

    def __init__(self, most: int) -> None: ...
    def held(
        self, contexts: Sequence[str], texts: Sequence[str], keys: Sequence[str], pairs: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of the stems words of each passage have, (texts, keys), and which pairs of keys, named by their places,
        two neighbouring words have, (texts, pairs). A passage is a context and, on a line of its own, a text.
        """

    def shares(
        self,
        contexts: Sequence[str],
        texts: Sequence[str],
        keys: Sequence[str],
        weights: Sequence[float],
        pairs: Sequence[tuple[int, int]],
    ) -> NDArray[np.float64]:
        """(2, texts): the share of the stems' weights that each passage holds, and that of its pairs, which weigh as
        much as the lesser of their stems. What no passage holds does not count.

        Raises IndexError and ValueError where weights or pairs do not fit the stems.
        """

    def forget(self) -> None:
        """No passage stays in memory."""

    def __len__(self) -> int: ...
