"""Which of a question's words passages have, and which of its pairs stand side by side there."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.stemming import Passages

KEPT = 16_384  # passages read last, a kilobyte or two each: the same are found again and again

Pair = tuple[int, int]  # places of two stems, one after the other

_read = Passages(KEPT)


def shares(
    contexts: Sequence[str], texts: Sequence[str], weights: Mapping[str, float], pairs: Sequence[Pair]
) -> NDArray[np.float64]:
    """(2, texts): what share of the stems (see `words.stem`), by weight, the words of each text or its context hold,
    and what share of the pairs of stems, which two neighbouring words hold; a pair weighs as much as its lesser stem.
    What none of the texts holds does not count. The texts themselves are not kept.
    """
    return _read.shares(contexts, texts, list(weights), list(weights.values()), pairs)


def remembered() -> int:
    """How many passages are in memory."""
    return len(_read)


def forget() -> None:
    """No passage stays in memory."""
    _read.forget()
