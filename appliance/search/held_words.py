"""Which of a question's words a text has, and which of its pairs stand side by side there, without cutting the text."""

import re
from collections.abc import Iterator, Sequence

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
        found = frozenset([key for key, start in self._starts if start in lowered and _has(lowered, key, start)])
        together = [pair for pair in self._pairs if pair[0] in found and pair[1] in found and _adjacent(lowered, pair)]
        return found, frozenset(together)


def _has(lowered: str, key: str, start: str) -> bool:
    return next(_ends(lowered, key, start), None) is not None


def _adjacent(lowered: str, pair: Pair) -> bool:
    for end in _ends(lowered, pair[0], _start(pair[0])):
        following = _NEXT.search(lowered, end)
        if following is not None and stem(following[0]) == pair[1]:
            return True
    return False


def _start(key: str) -> str:
    """What every word of this stem begins with: "cities" has the stem "city"."""
    return key[:-1] if len(key) > 3 and key[-1] == "y" else key


def _ends(lowered: str, key: str, start: str) -> Iterator[int]:
    """Where the words end that have this stem, which begin so."""
    at = lowered.find(start)
    while at >= 0:
        if not at or not lowered[at - 1].isalnum():
            word = _NEXT.match(lowered, at)
            if word is not None and stem(word[0]) == key and not _is_tail(lowered, at):
                yield word.end()
        at = lowered.find(start, at + 1)


def _is_tail(lowered: str, at: int) -> bool:
    """Whether what begins there belongs to the word before: "isn't" is one word, and of "a'b'c" the first two are."""
    if at < 2 or lowered[at - 1] not in "'’" or not lowered[at - 2].isalnum():
        return False
    begin = at
    while begin and (lowered[begin - 1].isalnum() or lowered[begin - 1] in "'’"):
        begin -= 1
    return not any(word.start() == at for word in _NEXT.finditer(lowered, begin))
