"""Which of a question's words passages have, and which of its pairs stand side by side there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.stemming import Passages

KEPT = 16_384  # passages read last, a kilobyte or two each: the same are found again and again

Pair = tuple[int, int]  # places of two stems, one after the other
Held = tuple[NDArray[np.bool_], NDArray[np.bool_]]

_read = Passages(KEPT)


def held(contexts: Sequence[str], texts: Sequence[str], keys: Sequence[str], pairs: Sequence[Pair]) -> Held:
    """The stems (see `words.stem`) that words of each text or its context have, (texts, keys), and the pairs of stems
    that two neighbouring words have, (texts, pairs). The texts themselves are not kept.
    """
    return _read.held(contexts, texts, keys, pairs)


def remembered() -> int:
    """How many passages are in memory."""
    return len(_read)


def forget() -> None:
    """No passage stays in memory."""
    _read.forget()
