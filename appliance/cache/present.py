"""Which keys may be in a file, so that most of those that are not need no look at it."""

from collections.abc import Iterable

BITS = 1 << 21  # 256 KiB
HASHES = 3  # of 21 bits each: what Python's own hash of a str has
MOST_KEYS = BITS // 8  # with so many one key in thirty that is not there is looked for all the same


class Present:
    """A filter of keys (Bloom 1970, "Space/time trade-offs in hash coding with allowable errors"): `may` says yes to
    all that were added, and to few others. One thread adds at a time, any number ask.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._bits = bytearray(BITS // 8)
        self._added = 0
        self.add(keys)
        self._most = max(MOST_KEYS, 2 * self._added)

    @property
    def full(self) -> bool:
        """Whether so many were added that a new one, of those that are there now, would do better."""
        return self._added > self._most

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._added += 1
            for place in _places(key):
                self._bits[place >> 3] |= 1 << (place & 7)

    def may(self, key: str) -> bool:
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(key))


def _places(key: str) -> list[int]:
    bits = hash(key)
    return [bits >> 21 * number & BITS - 1 for number in range(HASHES)]
