"""The layer on disk: diskcache without pickle, private to this user, and never a reason to fail a question."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import structlog
from diskcache import Cache, Timeout

from appliance.cache.rows import BytesDisk, ForeignEntry, opened, sealed
from appliance.cache.stats import Counts, LayerStats
from appliance.errors import StorageError
from appliance.telemetry.metrics import CACHE_ERRORS

log = structlog.get_logger(__name__)

LAYER = "disk"
_BETWEEN = "\n"  # tags in the one column that diskcache has for them
FILES = ("cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal")
LARGEST_VALUE = 4 * 1024**2  # bytes; an answer is some kilobytes, anything larger is not worth a place
LOCK_WAIT_S = 1.0  # how long a write waits for another before it is given up
ERASE_WAIT_S = 10.0
RETRY_AFTER_S = 2.0  # how long a cache that could not be opened is left alone

# Everything a torn or foreign cache file was seen to raise from within diskcache; Timeout is its "database is locked".
FAILURES = (
    sqlite3.Error,
    OSError,
    Timeout,
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    MemoryError,
    AssertionError,
)


class Found(NamedTuple):
    """A value, when its life ends (seconds since the epoch), and its tags."""

    value: bytes
    until: float
    tags: frozenset[str]


class DiskLayer:
    """Values by key. A missing, torn or unwritable directory means misses and a fresh start, never an exception.

    `size_bytes` bounds the database file (least recently stored entries go first; 0 turns the layer off).
    """

    def __init__(self, directory: Path, *, size_bytes: int) -> None:
        self._directory = directory
        self._database = str(directory / FILES[0])
        self._size_bytes = size_bytes
        self._lock = threading.RLock()  # one write or fresh start at a time; reads take no lock
        self._cache: Cache | None = None
        self._inode = 0
        self._not_before = 0.0
        self._closed = False
        self._errors = 0
        self._counts = Counts(LAYER)
        CACHE_ERRORS.labels(LAYER)  # there from the start: a first failure is an increase
        self._open()

    def get(self, key: str) -> Found | None:
        """What is stored under `key`, or None. Safe from many threads."""
        cache = self._usable()
        found: Found | None = None
        if cache is not None:
            try:
                value, until, tag = cache.get(key, expire_time=True, tag=True)
                if value is not None:
                    found = Found(opened(key, value), float(until), _split(tag))
            except ForeignEntry as error:
                self._drop(cache, key, error)
            except FAILURES as error:
                self._failed(cache, "get", error)
        self._counts.asked(found is not None)
        return found

    def put(
        self, key: str, value: bytes, *, ttl_s: float, tags: frozenset[str], still: Callable[[], bool] = lambda: True
    ) -> None:
        """Store `value` under `key` for `ttl_s` seconds; `tags` are what `clear` takes. Values over 4 MiB are left out.

        `still` says, under the lock that `erase` takes as well, whether the value may be kept.
        """
        cache = self._usable()
        if cache is None or len(value) > LARGEST_VALUE:
            return
        with self._lock:
            try:
                if not still():
                    return
                before = len(cache)
                cache.set(key, sealed(key, value), expire=ttl_s, tag=_joined(tags))
                self._counts.evicted(before - len(cache))
            except FAILURES as error:
                self._failed(cache, "put", error)

    def stats(self) -> LayerStats:
        cache = self._usable()
        entries = size = 0
        if cache is not None:
            try:
                entries, size = len(cache), cache.volume()
            except FAILURES as error:
                self._failed(cache, "stats", error)
        counts = (self._counts.hits, self._counts.misses, self._counts.evictions)
        return LayerStats(LAYER, *counts, entries, size, self._size_bytes, self._errors)

    def clear(self, tag: str | None = None) -> int:
        """Remove the entries that carry `tag`, or all; returns how many went."""
        cache = self._usable()
        if cache is None:
            return 0
        with self._lock:
            try:
                return int(cache.clear()) if tag is None else self._delete(tag, LOCK_WAIT_S)
            except FAILURES as error:
                self._failed(cache, "clear", error)
                return 0

    def erase(self, tag: str) -> int:
        """Remove the entries of one tag so that no byte of them stays in the files; returns how many went.

        Raises StorageError when that cannot be done; then the entries may still be there.
        """
        cache = self._usable()
        if cache is None and not Path(self._database).exists():
            return 0
        with self._lock:
            try:
                removed = self._delete(tag, ERASE_WAIT_S, for_good=True)
            except sqlite3.Error as error:
                raise _not_erased(str(error)) from error
        return removed

    def _delete(self, tag: str, wait_s: float, *, for_good: bool = False) -> int:
        """The entries that carry `tag`, found in the index of tags alone."""
        with closing(sqlite3.connect(self._database, timeout=wait_s, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            removed = connection.execute(
                "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache WHERE instr(tag, ?))",
                (f"{_BETWEEN}{tag}{_BETWEEN}",),
            ).rowcount
            if for_good:
                connection.execute("VACUUM")
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise _not_erased("its log is being read")
        return int(removed)

    def close(self) -> None:
        """Close this thread's connection; the others go with their threads. Later calls are misses."""
        with self._lock:
            self._closed = True
            if self._cache is not None:
                _close(self._cache)
            self._cache = None

    def _usable(self) -> Cache | None:
        """The open cache; opened again when its file is no longer the one that was opened."""
        cache = self._cache
        if cache is None:
            if self._closed or self._size_bytes <= 0 or time.monotonic() < self._not_before:
                return None
            with self._lock:
                if self._cache is None and not self._closed and time.monotonic() >= self._not_before:
                    self._open()
                return self._cache
        try:
            if os.stat(self._database).st_ino == self._inode:  # noqa: PTH116  (a microsecond instead of ten)
                return cache
        except OSError:
            pass  # gone: the same as another file in its place
        self._failed(cache, "open", FileNotFoundError("the cache file is gone"))
        return self._cache

    def _open(self) -> None:
        if self._size_bytes <= 0:
            return
        for fresh in (False, True):
            try:
                self._cache = self._connect(fresh=fresh)
                self._inode = Path(self._database).stat().st_ino
                return
            except FAILURES as error:
                self._note("open", error)
                self._cache = None
        self._not_before = time.monotonic() + RETRY_AFTER_S

    def _connect(self, *, fresh: bool) -> Cache:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        if fresh:
            for name in FILES:
                (self._directory / name).unlink(missing_ok=True)
        return Cache(
            str(self._directory),
            timeout=LOCK_WAIT_S,
            disk=BytesDisk,
            size_limit=self._size_bytes,
            eviction_policy="least-recently-stored",
            statistics=0,
            tag_index=1,
            # Nothing is mapped into memory, so that a truncated file is an error and not a SIGBUS; WAL always maps its
            # `-shm`. Without syncs a loss of power may tear the file: `sealed` tells, and what is here can be lost.
            sqlite_mmap_size=0,
            sqlite_journal_mode="truncate",
            sqlite_synchronous=0,
        )

    def _failed(self, cache: Cache, operation: str, error: BaseException) -> None:
        """Count it and, unless it was only a busy lock, start over with an empty cache."""
        self._note(operation, error)
        if isinstance(error, Timeout) or (isinstance(error, sqlite3.OperationalError) and "locked" in str(error)):
            return
        with self._lock:
            if self._cache is not cache or self._closed:
                return  # another thread has done it
            self._cache = None
            _close(cache)
            for name in FILES:
                with suppress(OSError):
                    (self._directory / name).unlink(missing_ok=True)
            self._open()

    def _drop(self, cache: Cache, key: str, error: ForeignEntry) -> None:
        self._note("get", error)
        with self._lock:
            try:
                cache.delete(key)
            except FAILURES as failure:
                self._failed(cache, "delete", failure)

    def _note(self, operation: str, error: BaseException) -> None:
        self._errors += 1
        CACHE_ERRORS.labels(LAYER).inc()
        log.warning("cache_error", operation=operation, error=type(error).__name__, detail=str(error)[:200])


def _joined(tags: frozenset[str]) -> str:
    return _BETWEEN + _BETWEEN.join(sorted(tags)) + _BETWEEN


def _split(tag: object) -> frozenset[str]:
    return frozenset(filter(None, tag.split(_BETWEEN))) if isinstance(tag, str) else frozenset()


def _not_erased(reason: str) -> StorageError:
    return StorageError(
        f"Cached answers could not be erased: {reason}.",
        code="cache_not_erased",
        hint="It is tried again by itself. If it goes on, stop the appliance and remove the folder `cache`.",
    )


def _close(cache: Cache) -> None:
    """Close this thread's connection; those of others go with their last use of the object."""
    with suppress(*FAILURES):
        cache.close()
