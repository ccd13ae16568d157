"""The layer on disk: diskcache without pickle, private to this user, no reason to fail a question or to wait."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog
from diskcache import Cache, Timeout

from appliance.cache import rows
from appliance.cache.behind import Waiting, WriteBehind
from appliance.cache.present import Present
from appliance.cache.stats import Counts, LayerStats
from appliance.errors import StorageError
from appliance.telemetry.metrics import CACHE_ERRORS

log = structlog.get_logger(__name__)

LAYER = "disk"
FILES = ("cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal")
LARGEST_VALUE = 4 * 1024**2  # bytes; an answer is some kilobytes, anything larger is not worth a place
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

    `size_bytes` bounds the database file (least recently stored entries go first; 0 turns the layer off). Values are
    written by a thread of its own some tenths of a second later, and found meanwhile; a killed process loses those.
    """

    def __init__(self, directory: Path, *, size_bytes: int) -> None:
        self._directory = directory
        self._database = str(directory / FILES[0])
        self._size_bytes = size_bytes
        self._lock = threading.RLock()  # one write or fresh start at a time; reads take no lock
        self._cache: Cache | None = None
        self._present = Present()
        self._inode = 0
        self._not_before = 0.0
        self._closed = False
        self._errors = 0
        self._counts = Counts(LAYER)
        self._behind = WriteBehind(self._write, self._lock)
        CACHE_ERRORS.labels(LAYER)  # there from the start: a first failure is an increase
        self._open()

    def get(self, key: str) -> Found | None:
        """What is stored under `key` or waits to be, or None. Safe from many threads."""
        waiting = self._behind.get(key)
        if waiting is not None:
            found: Found | None = Found(waiting.value, waiting.until, waiting.tags)
        else:
            found = self._stored(key) if self._cache is None or self._present.may(key) else None
        self._counts.asked(found is not None)
        return found

    def _stored(self, key: str) -> Found | None:
        cache = self._usable()
        if cache is None:
            return None
        try:
            value, until, tag = cache.get(key, expire_time=True, tag=True)
            return None if value is None else Found(rows.opened(key, value), float(until), rows.split(tag))
        except rows.ForeignEntry as error:
            self._drop(cache, key, error)
        except FAILURES as error:
            self._failed(cache, "get", error)
        return None

    def put(
        self, key: str, value: bytes, *, ttl_s: float, tags: frozenset[str], still: Callable[[], bool] = lambda: True
    ) -> None:
        """Keep `value` under `key` for `ttl_s` seconds; `tags` are what `clear` takes. Values over 4 MiB are left out.

        It is written later. `still` says, then and under the lock that `erase` takes as well, whether it may be kept.
        """
        resting = self._cache is None and time.monotonic() < self._not_before
        if self._size_bytes > 0 and len(value) <= LARGEST_VALUE and not resting:
            self._behind.add(Waiting(key, value, time.time() + ttl_s, tags, still))

    def flush(self) -> None:
        """Write now what waits to be written."""
        self._behind.flush()

    def _write(self, batch: list[Waiting]) -> None:
        """What may still be kept of it, in one transaction; called under the lock."""
        self._counts.evicted(self._behind.dropped())
        new = [
            (entry.key, rows.sealed(entry.key, entry.value), entry.until, rows.joined(entry.tags))
            for entry in batch
            if entry.lives()
        ]
        for _ in range(2):  # once more where the file was torn: into the new one
            cache = self._usable()
            if cache is None:
                return
            try:
                self._present.add(row[0] for row in new)
                self._counts.evicted(rows.store(cache, self._database, new))
                if self._present.full:
                    self._present = Present(rows.keys(self._database))
                return
            except FAILURES as error:
                self._failed(cache, "put", error)
                if self._cache is cache:
                    _close(cache)  # making room that met a lock leaves its transaction open
                    return

    def stats(self) -> LayerStats:
        """Its entries are those on disk and those that wait; its bytes are the file's."""
        cache = self._usable()
        entries, size = len(self._behind), 0
        if cache is not None:
            try:
                entries, size = entries + len(cache), cache.volume()
            except FAILURES as error:
                self._failed(cache, "stats", error)
        counts = (self._counts.hits, self._counts.misses, self._counts.evictions)
        return LayerStats(LAYER, *counts, entries, size, self._size_bytes, self._errors)

    def clear(self, tag: str | None = None) -> int:
        """Remove the entries that carry `tag`, or all; returns how many went."""
        with self._lock:
            removed = self._behind.remove(tag)
            cache = self._usable()
            if cache is None:
                return removed
            try:
                return removed + (int(cache.clear()) if tag is None else self._delete(tag, rows.LOCK_WAIT_S))
            except FAILURES as error:
                self._failed(cache, "clear", error)
                return removed

    def erase(self, tag: str) -> int:
        """Remove the entries of one tag so that no byte of them stays in the files; returns how many went.

        Raises StorageError when that cannot be done; then the entries may still be there.
        """
        with self._lock:
            removed = self._behind.remove(tag)
            if self._usable() is None and not Path(self._database).exists():
                return removed
            try:
                return removed + self._delete(tag, ERASE_WAIT_S, for_good=True)
            except sqlite3.Error as error:
                raise _not_erased(str(error)) from error

    def _delete(self, tag: str, wait_s: float, *, for_good: bool = False) -> int:
        """The entries that carry `tag`, found in the index of tags alone."""
        with rows.connected(self._database, wait_s) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            removed = connection.execute(
                "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache WHERE instr(tag, ?))",
                (rows.joined(frozenset({tag})),),
            ).rowcount
            if for_good:
                connection.execute("VACUUM")
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise _not_erased("its log is being read")
        return int(removed)

    def close(self) -> None:
        """Write what waits, for some seconds at most, and close. Later calls are misses.

        Connections of other threads go with their threads.
        """
        self._behind.close()
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
                cache = self._connect(fresh=fresh)
                self._present = Present(rows.keys(self._database))
                self._cache = cache
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
            timeout=rows.LOCK_WAIT_S,
            disk=rows.BytesDisk,
            size_limit=self._size_bytes,
            eviction_policy="least-recently-stored",
            cull_limit=0,  # `store` makes room: within a transaction the file does not get smaller
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

    def _drop(self, cache: Cache, key: str, error: rows.ForeignEntry) -> None:
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
