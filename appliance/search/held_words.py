"""Which of a question's words a text has, and which of its pairs stand side by side there, without cutting the text."""

import re
from collections.abc import Sequence

from appliance.words import is_spaced, stem, stemmed

Pair = tuple[str, str]  # two stems, one after the other

_NEXT = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


class WantedWords:
    """The stems (see `words.stem`) and pairs of stems of a question, ready to be looked for in many texts."""

    def __init__(self, keys: Sequence[str], pairs: Sequence[Pair]) -> None:
        self._starts = [(key, _start(key)) for key in keys]
        self._pairs = pairs
        self._plain = all(map(str.isascii, keys))

    def held(self, text: str) -> tuple[frozenset[str], frozenset[Pair]]:
        """The stems that words of the text have, and the pairs of which two neighbouring words have.

        A word begins with what its stem begins with, so a text without these letters lacks it: most words of a question
        are settled by one look for a few letters. Words beyond ASCII, and scripts without spaces, are cut into words.
        """
        if not self._plain or not is_spaced(text):
            whole = stemmed(text)
            found = frozenset([key for key, _ in self._starts if f" {key} " in whole])
            return found, frozenset([pair for pair in self._pairs if f" {pair[0]} {pair[1]} " in whole])
        lowered = text.lower()
        ends = {key: _end(lowered, key, start, 0) for key, start in self._starts if start in lowered}
        found = frozenset([key for key, end in ends.items() if end])
        together = [pair for pair in self._pairs if pair[0] in found and pair[1] in found]
        return found, frozenset([pair for pair in together if _adjacent(lowered, pair, ends[pair[0]])])


def _adjacent(lowered: str, pair: Pair, end: int) -> bool:
    """Whether the second stem follows the first, whose first word ends there."""
    first, second = pair
    start = _start(first)
    while end:
        following = _NEXT.search(lowered, end)
        if following is None:
            return False
        if stem(following[0]) == second:
            return True
        end = _end(lowered, first, start, end)
    return False


def _start(key: str) -> str:
    """What every word of this stem begins with: "cities" has the stem "city"."""
    return key[:-1] if len(key) > 3 and key[-1] == "y" else key


def _end(lowered: str, key: str, start: str, begin: int) -> int:
    """Where the first word ends that has this stem, which begins so; 0 where there is none behind `begin`."""
    at = lowered.find(start, begin)
    while at >= 0:
        if not at or not (before := lowered[at - 1]).isalnum():
            word = _NEXT.match(lowered, at)
            if word is not None and stem(word[0]) == key and not (at and before in "'’" and _is_tail(lowered, at)):
                return word.end()
        at = lowered.find(start, at + 1)
    return 0


def _is_tail(lowered: str, at: int) -> bool:
    """Whether what begins there belongs to the word before: "isn't" is one word, and of "a'b'c" the first two are.

    There is an apostrophe before it.
    """
    if at < 2 or not lowered[at - 2].isalnum():
        return False
    begin = at
    while begin and (lowered[begin - 1].isalnum() or lowered[begin - 1] in "'’"):
        begin -= 1
    return not any(word.start() == at for word in _NEXT.finditer(lowered, begin))
