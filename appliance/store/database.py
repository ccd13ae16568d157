"""The one SQLite file: a write connection behind a lock, a read connection per thread, errors in our own terms."""

import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import numpy as np
import structlog

from appliance.errors import StorageError
from appliance.faults import reached
from appliance.store import fulltext
from appliance.store.migrations import migrate
from appliance.store.reader import Reader
from appliance.store.sqlite_errors import raise_translated, storage_error, translated

MAX_ID = 2**63 - 1  # SQLite's largest integer
BUSY_MS = 5_000
CHECKPOINT_PAGES = 1_000  # 4 MB: from here on each commit moves what it can, waiting for nobody (SQLite's own default)
RESTART_PAGES = 16_384  # 64 MB: from here on a commit waits for readers to move on, so that the log is emptied
RESTART_WAIT_MS = 500
READER_CACHE_KIB = 2_048  # the operating system's page cache does the rest
WRITER_CACHE_KIB = 16_384

_log = structlog.get_logger(__name__)


class WriterBusyError(Exception):
    """Another thread holds the one writer for longer than the caller wanted to wait; nothing was changed."""


class Database:
    """An open database. Thread-safe: any number of threads may read while one writes."""

    def __init__(self, path: Path, writer: apsw.Connection) -> None:
        self.path = path
        self._writer = writer
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._readers: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._readers_lock = threading.Lock()
        self._closed = False
        self._wal_pages = 0
        self.snapshots = 0  # open ones, see `snapshot.frozen`
        writer.set_wal_hook(self._count_wal_pages)

    @classmethod
    def open(cls, path: Path, tell: Callable[[str], None] = lambda _: None) -> "Database":
        """Open or make the file and bring its schema up to date; `tell` learns of migrations and that they go on.

        Raises DiskFull or StorageError (codes database_read_only, database_unopenable, database_corrupt,
        database_too_new, database_foreign, database_busy).
        """
        _ensure_writable_file(path)
        with translated(path):
            writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                _configure(writer, WRITER_CACHE_KIB)
                writer.pragma("journal_mode", "wal")
                writer.pragma("synchronous", "full")
                writer.pragma("foreign_keys", True)
                writer.pragma("journal_size_limit", RESTART_PAGES * 4096)
                migrate(writer, tell)
            except BaseException:
                writer.close()
                raise
        return cls(path, writer)

    def reader(self) -> Reader:
        """This thread's own read-only connection; it is closed when the thread ends or the database closes.

        Finish every cursor at once (`fetchall`, `get`): an open one holds back checkpoints.
        """
        connection: Reader | None = getattr(self._local, "connection", None)
        if connection is not None and not self._closed:
            return connection
        with self._readers_lock, translated(self.path):
            if self._closed:
                raise StorageError("The database is closed.", code="database_closed", hint="Start the appliance again.")
            connection = Reader(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            _configure(connection, READER_CACHE_KIB)
            connection.pragma("query_only", True)
            connection.create_scalar_function("casefold", _casefold, 1, deterministic=True)
            fulltext.add_functions(connection)
            self._readers.add(connection)
        self._local.connection = connection
        return connection

    def read(self, *, snapshot: bool = False) -> "Reading":
        """`reader()` with errors in our own terms; with `snapshot` all its statements see one state of the database.

        Raises StorageError.
        """
        return Reading(self, snapshot)

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[apsw.Connection]:
        """The write connection inside one transaction: durable when the block has ended, undone when it raises.

        Raises DiskFull, StorageError; WriterBusyError when another thread is still writing after `patience_s` seconds;
        RuntimeError when this thread is already inside a transaction.
        """
        with self.writing(patience_s), translated(self.path):
            if self._closed:
                raise StorageError("The database is closed.", code="database_closed", hint="Start the appliance again.")
            if self._writer.in_transaction:
                raise RuntimeError("write() inside write(): transactions do not nest")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
                reached("database.committed")
            except BaseException:
                if self._writer.in_transaction:  # SQLite has already rolled back after some errors
                    self._writer.execute("ROLLBACK")
                raise
            self._checkpoint()

    @contextmanager
    def writing(self, patience_s: float | None = None) -> Iterator[None]:
        """Nobody else writes within it. Raises WriterBusyError, see `write`."""
        if not self._write_lock.acquire(timeout=-1 if patience_s is None else patience_s):
            raise WriterBusyError
        try:
            yield
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Empty the log into the database and close every connection. A second call does nothing."""
        with self._write_lock, self._readers_lock:
            if self._closed:
                return
            self._closed = True
            for connection in list(self._readers):
                _close_when_idle(connection)
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._writer.close()

    def _count_wal_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Keep the log bounded although some reader is always active.

        A passive checkpoint never resets the log while a reader is in it. Past RESTART_PAGES we wait for those readers;
        new ones then read from the database file alone (https://www.sqlite.org/wal.html, excessively large WAL files).
        """
        if self._wal_pages >= RESTART_PAGES and not self.snapshots:  # a snapshot would let each commit wait in vain
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        elif self._wal_pages >= CHECKPOINT_PAGES:
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _try_checkpoint(self, mode: int) -> None:
        self._writer.set_busy_timeout(RESTART_WAIT_MS)
        try:
            self._writer.wal_checkpoint(mode=mode)
            reached("database.checkpointed")
        except apsw.BusyError:
            _log.debug("checkpoint_postponed", wal_pages=self._wal_pages)  # the next commit tries again
        except (apsw.FullError, apsw.IOError) as error:
            _log.warning("checkpoint_failed", error=str(error))  # what was committed is safe in the log
        finally:
            self._writer.set_busy_timeout(BUSY_MS)


class Reading:
    """See `Database.read`. A class, for a question enters twenty of them: a generator takes three times as long."""

    __slots__ = ("_began", "_connection", "_database", "_snapshot")

    def __init__(self, database: Database, snapshot: bool) -> None:
        self._database, self._snapshot, self._began = database, snapshot, False

    def __enter__(self) -> Reader:
        connection = self._connection = self._database.reader()
        if self._snapshot and not connection.in_transaction:
            with translated(self._database.path):
                connection.begin()
            self._began = True
        return connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        path = self._database.path
        if self._began:
            with translated(path):
                self._end()
        if isinstance(error, apsw.Error):
            raise_translated(error, path)

    def _end(self) -> None:
        self._connection.seen = None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def fetch(connection: apsw.Connection, query: str, parameters: "apsw.Bindings" = ()) -> list[tuple[Any, ...]]:
    """All rows at once. The schema's tables are STRICT, so the caller knows the types of the columns."""
    return connection.execute(query, parameters).fetchall()


def carray(ids: Sequence[int]) -> "apsw.SQLiteValue":
    """For `IN (SELECT value FROM carray(?))`; numbers that cannot be an id are left out."""
    possible = [number for number in ids if is_id(number)] or [0]  # an empty array is not possible
    return apsw.carray(np.array(possible, dtype=np.int64))


def is_id(number: int) -> bool:
    return 0 < number <= MAX_ID


def _ensure_writable_file(path: Path) -> None:
    """Make the file private to this user if it is not there; find out early when it cannot be written."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "no permission to write in its folder")
    except OSError as error:
        kind = (
            apsw.ReadOnlyError
            if isinstance(error, PermissionError) or error.errno == errno.EROFS
            else apsw.CantOpenError
        )
        full = error.errno == errno.ENOSPC
        ours = storage_error((apsw.FullError if full else kind)(error.strerror or str(error)), path)
        assert ours is not None
        raise ours from error


def _configure(connection: apsw.Connection, cache_kib: int) -> None:
    connection.set_busy_timeout(BUSY_MS)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")  # temporary files would need a second writable place


def _close_when_idle(connection: apsw.Connection, patience_s: float = 1.0) -> None:
    """Close another thread's connection; one that stays busy is closed with its thread."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.close()
            return
        except apsw.ThreadingViolationError:
            if time.monotonic() > deadline:
                connection.interrupt()
                return
        time.sleep(0.005)


def _casefold(*arguments: "apsw.SQLiteValue") -> str:
    return str(arguments[0]).casefold()
