"""The rows of the cache on disk: plain bytes, never a pickle, each behind a digest of itself and its key."""

import hashlib
import sqlite3
from typing import Any

from diskcache import Disk
from diskcache.core import MODE_RAW, UNKNOWN

SEAL_BYTES = 16
_BETWEEN = "\n"  # tags in the one column that diskcache has for them


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
