"""The rows of the cache on disk: plain bytes, never a pickle, each behind a digest of itself and its key."""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from itertools import chain
from typing import Any

from diskcache import Cache, Disk
from diskcache.core import MODE_RAW, UNKNOWN

SEAL_BYTES = 16
LOCK_WAIT_S = 1.0  # how long a write waits for another before it is given up
_BETWEEN = "\n"  # tags in the one column that diskcache has for them

# One statement for all rows: diskcache's own `set` lets go of the interpreter's lock twice a row, and has to wait for
# it again. Its triggers count the rows.
_COLUMNS = ("key", "raw", "value", "expire_time", "tag", "store_time", "access_time", "mode", "size", "filename")
_INSERT = f"INSERT INTO Cache ({', '.join(_COLUMNS)}) VALUES "
_ROW = f"({', '.join('?' * len(_COLUMNS))})"
_REPLACE = " ON CONFLICT (key, raw) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])


class ForeignEntry(ValueError):
    """A row that this program did not write: a pickle, or a reference to a file."""


class BytesDisk(Disk):  # type: ignore[misc]  # diskcache has no type hints
    """Keys are text, values are bytes inside the database; pickles and value files are refused both ways.

    diskcache unpickles rows of mode 4 and keys that are not raw (CVE-2025-69872), whatever its `disk` argument says.
    """

    def put(self, key: Any) -> tuple[Any, bool]:
        if not isinstance(key, str):
            raise ForeignEntry(f"a cache key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: bool) -> Any:
        if not raw or not isinstance(key, str):
            raise ForeignEntry("a cache key is not text")
        return key

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, None, sqlite3.Binary]:
        if not isinstance(value, bytes) or read:
            raise ForeignEntry(f"a cache value is bytes, not {type(value).__name__}")
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes) or read:
            raise ForeignEntry(f"a cache row of mode {mode} is not plain bytes")
        return bytes(value)


def sealed(key: str, value: bytes) -> bytes:
    """The value behind a digest of itself and its key."""
    return hashlib.blake2b(key.encode() + value, digest_size=SEAL_BYTES).digest() + value


def opened(key: str, stored: bytes) -> bytes:
    """Raises ForeignEntry for what was not sealed under this key: pages of the file were torn or exchanged."""
    value = stored[SEAL_BYTES:]
    if sealed(key, value) != stored:
        raise ForeignEntry("a cache row is damaged")
    return value


def joined(tags: frozenset[str]) -> str:
    """The tags as they stand in their column."""
    return _BETWEEN + _BETWEEN.join(sorted(tags)) + _BETWEEN


def split(tag: object) -> frozenset[str]:
    """The tags of a column."""
    return frozenset(filter(None, tag.split(_BETWEEN))) if isinstance(tag, str) else frozenset()


def connected(database: str, wait_s: float = LOCK_WAIT_S) -> AbstractContextManager[sqlite3.Connection]:
    """A connection beside diskcache's, which commits each statement; closed at the end of the block."""
    return closing(sqlite3.connect(database, timeout=wait_s, isolation_level=None))


def store(cache: Cache, database: str, rows: Sequence[tuple[str, bytes, float, str]]) -> int:
    """Write keys, values, ends of life and tags in one transaction; returns how many others went to make room."""
    now = time.time()
    if rows:
        whole = [(key, 1, value, until, tag, now, now, MODE_RAW, 0, None) for key, value, until, tag in rows]
        with connected(database) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute(_INSERT + ", ".join([_ROW] * len(rows)) + _REPLACE, list(chain.from_iterable(whole)))
    cache.expire()
    return int(cache.cull())


def keys(database: str) -> list[str]:
    """Those of all rows that this program may have written."""
    with connected(database) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM Cache WHERE raw = 1") if isinstance(key, str)]
