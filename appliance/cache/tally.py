"""Counts of at most so many things, each counted in the same time however many there are."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Tally(Generic[T]):
    """Where there is no room the thing that was counted least makes some, and the new one inherits its count ("space
    saving", Metwally et al. 2005): whatever is counted more often than 1 / `most` of the time is there for sure.

    Of those with equal counts the one that has had it longest goes. Not thread-safe.
    """

    def __init__(self, most: int, counts: Mapping[T, int]) -> None:
        self._most = most
        self._counts: dict[T, int] = {}
        self._having: dict[int, OrderedDict[T, None]] = {}  # count -> the things that have it, none of them empty
        self.total = 0
        for one, count in counts.items():
            self._put(one, count)
        self._least = min(self._having, default=0)

    def __len__(self) -> int:
        return len(self._counts)

    def items(self) -> list[tuple[T, int]]:
        return list(self._counts.items())

    def add(self, one: T) -> None:
        """One more."""
        count = self._counts.get(one, 0)
        if count:
            self._take(one)
        elif len(self._counts) >= self._most:
            count = self._take(next(iter(self._having[self._least])))
        self._put(one, count + 1)
        if not count or self._least not in self._having:
            self._least = count + 1

    def forget(self, one: T) -> None:
        """Count it no more."""
        self._take(one)
        if self._least not in self._having:
            self._least = min(self._having, default=0)

    def _put(self, one: T, count: int) -> None:
        self._counts[one] = count
        self._having.setdefault(count, OrderedDict())[one] = None
        self.total += count

    def _take(self, one: T) -> int:
        count = self._counts.pop(one)
        having = self._having[count]
        del having[one]
        if not having:
            del self._having[count]
        self.total -= count
        return count
