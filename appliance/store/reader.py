"""A connection that reads; what it has read of one state of the database need not be read again."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import apsw

T = TypeVar("T")


MOST = 1_000  # reads that are kept


class Reader(apsw.Connection):
    """`seen` is what `once` keeps of the state that the open transaction sees; None outside of one."""

    seen: dict[Hashable, Any] | None = None
    _kept: dict[Hashable, Any] | None = None
    _state = -1

    def begin(self) -> None:
        """A transaction that sees one state; where nothing was committed since the last, what that read is kept."""
        self.execute("BEGIN")
        state = self.execute("PRAGMA data_version").get
        if self._kept is None or state != self._state or len(self._kept) > MOST:
            self._state, self._kept = state, {}
        self.seen = self._kept


def once(connection: apsw.Connection, key: Hashable, read: Callable[[], T]) -> T:
    """What `read` gives; within a reader's transactions it is called once a key and state of the database.

    Nobody may change what it gave.
    """
    seen = connection.seen if isinstance(connection, Reader) else None
    if seen is None:
        return read()
    if key not in seen:
        seen[key] = read()
    found: T = seen[key]
    return found
