"""Which of a question's words texts have, and which of its pairs stand side by side there."""

from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from appliance import stemming
from appliance.words import is_spaced, stemmed

Pair = tuple[int, int]  # places of two stems, one after the other
Held = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def held(texts: Sequence[str], keys: Sequence[str], pairs: Sequence[Pair]) -> Held:
    """The stems (see `words.stem`) that words of each text have, (texts, keys), and the pairs of stems that two
    neighbouring words have, (texts, pairs).
    """
    spaced = list(map(is_spaced, texts)) if all(map(str.isascii, keys)) else [False] * len(texts)
    small = [text if text.isascii() else text.lower() for text in compress(texts, spaced)]  # ASCII is folded there
    words, together = stemming.held(small, keys, pairs)
    if all(spaced):
        return words, together
    found = np.empty((len(texts), len(keys)), dtype=np.bool_), np.empty((len(texts), len(pairs)), dtype=np.bool_)
    found[0][spaced], found[1][spaced] = words, together
    for row in (number for number, one in enumerate(spaced) if not one):
        cut = stemmed(texts[row])
        found[0][row] = [f" {key} " in cut for key in keys]
        found[1][row] = [f" {keys[one]} {keys[two]} " in cut for one, two in pairs]
    return found
