"""A connection that reads; what it has read of one state of the database need not be read again."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import apsw

T = TypeVar("T")


class Reader(apsw.Connection):
    """`seen` is what `once` keeps while a transaction is open; None outside of one."""

    seen: dict[Hashable, Any] | None = None


def once(connection: apsw.Connection, key: Hashable, read: Callable[[], T]) -> T:
    """What `read` gives; within a reader's transaction, where all statements see one state, it is called once a key.

    Nobody may change what it gave.
    """
    seen = connection.seen if isinstance(connection, Reader) else None
    if seen is None:
        return read()
    if key not in seen:
        seen[key] = read()
    found: T = seen[key]
    return found
