"""Rows that were read last: questions find the same ones again and again, and SQLite takes 10 us for each."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """What was read of single rows in a version of their collection, by their number; at most `most`. Thread-safe.

    No two collections have the same version, and none has one twice, so what is kept under it stays true.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int], V] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, version: int, wanted: Sequence[int], read: Callable[[list[int]], Mapping[int, V]]) -> dict[int, V]:
        """Those of the rows that there are, by ascending number. `read` gives those that are not known, in the state
        of the database that has this version.
        """
        kept, found = self._kept, dict[int, V]()
        with self._lock:
            for number in wanted:
                key = (version, number)
                if key in kept:
                    kept.move_to_end(key)
                    found[number] = kept[key]
        missing = [number for number in wanted if number not in found]
        if missing:
            new = read(missing)
            found.update(new)
            with self._lock:
                kept.update([((version, number), value) for number, value in new.items()])
                while len(kept) > self._most:
                    kept.popitem(last=False)
        return {number: found[number] for number in sorted(found)}

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Nothing of any row stays in memory."""
        with self._lock:
            self._kept.clear()
