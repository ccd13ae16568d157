"""Rows that were read last: questions find the same ones again and again, and SQLite takes 10 us for each."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """What was read of single rows in a version of their collection, by their number; at most `most`. Thread-safe.

    No two collections have the same version, and none has one twice, so what is kept under it stays true. Rows leave in
    the order they came, but each that was asked for meanwhile stays for another round: nearly as good as moving it at
    once, at half the price.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int], V] = OrderedDict()
        self._asked: set[int] = set()  # numbers of those that stay for another round
        self._lock = threading.Lock()

    def of(self, version: int, wanted: Sequence[int], read: Callable[[list[int]], Mapping[int, V]]) -> dict[int, V]:
        """Those of the rows that there are, by ascending number. `read` gives those that are not known, in the state
        of the database that has this version.
        """
        kept, ordered = self._kept, sorted(wanted)
        with self._lock:
            found = {number: kept[key] for number in ordered if (key := (version, number)) in kept}
            self._asked.update(found)
        if len(found) == len(ordered):
            return found
        missing = [number for number in ordered if number not in found]
        new = read(missing)
        with self._lock:
            kept.update([((version, number), row) for number, row in new.items()])
            self._make_room()
        found.update(new)
        return {number: found[number] for number in sorted(found)}

    def _make_room(self) -> None:
        while len(self._kept) > self._most:
            key, row = self._kept.popitem(last=False)
            if key[1] in self._asked:
                self._asked.discard(key[1])
                self._kept[key] = row

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Nothing of any row stays in memory."""
        with self._lock:
            self._kept.clear()
            self._asked.clear()
