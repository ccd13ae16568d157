"""One state of the database, as rows and as the bytes of its file, while others read and write on."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from appliance.errors import StorageError
from appliance.store.collections import Collection, find_all
from appliance.store.compaction import LOG_WAIT_S, log_bytes
from appliance.store.database import Database, carray, fetch
from appliance.store.sqlite_errors import translated

LOG_LIMIT = 1 << 30  # bytes of log that others may write beside a snapshot; beyond it they wait until it is read


@dataclass(frozen=True, slots=True)
class Facts:
    """What a snapshot holds. `newest` is when the newest document came, in seconds since the epoch (0: none);
    `unfinished` counts ingestion tasks that were not at their end.
    """

    schema: int
    collections: tuple[Collection, ...]
    newest: float
    unfinished: int


class Snapshot:
    """A state that stays as it is. For one thread."""

    def __init__(self, database: Database, connection: apsw.Connection, file: apsw.VFSFile) -> None:
        self._database, self._connection, self._file = database, connection, file
        self._alone = contextlib.ExitStack()
        self.size: int = file.xFileSize()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file, `length` of them but at its end. Raises StorageError.

        When the log has grown beyond LOG_LIMIT, whoever writes waits from here on until the snapshot ends.
        """
        if log_bytes(self._database) > LOG_LIMIT:
            self._alone.enter_context(self._database.writing())
        with translated(self._database.path):
            return bytes(self._file.xRead(min(length, self.size - offset), offset))

    def facts(self) -> Facts:
        with translated(self._database.path):
            return Facts(
                schema=int(str(self._connection.pragma("user_version"))),
                collections=tuple(find_all(self._connection)),
                newest=fetch(self._connection, "SELECT coalesce(max(added_at), 0) FROM documents")[0][0],
                unfinished=fetch(self._connection, "SELECT count(*) FROM tasks WHERE finished_at IS NULL")[0][0],
            )

    def present(self, chunk_ids: Sequence[int]) -> set[int]:
        """Those of the chunks that it holds."""
        with translated(self._database.path):
            found = fetch(
                self._connection,
                "SELECT id FROM chunks WHERE id IN (SELECT value FROM carray(?))",
                (carray(chunk_ids),),
            )
            return {row[0] for row in found}

    def close(self) -> None:
        self._alone.close()


@contextlib.contextmanager
def frozen(database: Database) -> Iterator[Snapshot]:
    """The state after the last commit.

    The log is moved into the file while nobody writes; then a read transaction that needs nothing of the log keeps
    checkpoints from touching the file (https://www.sqlite.org/walformat.html, WAL_READ_LOCK(0)), so its bytes are one
    state. The file is read through SQLite's own handle: closing another would drop this process's POSIX locks on it.
    Raises StorageError (log_in_use when readers hold the log).
    """
    with translated(database.path), contextlib.ExitStack() as parts:
        connection = _at_rest(database)
        parts.callback(connection.close)
        database.snapshots += 1
        parts.callback(_ended, database)
        file = apsw.VFSFile("", str(database.path), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
        parts.callback(file.xClose)
        snapshot = Snapshot(database, connection, file)
        parts.callback(snapshot.close)
        yield snapshot


def _ended(database: Database) -> None:
    database.snapshots -= 1


def _at_rest(database: Database) -> apsw.Connection:
    """A connection inside a read transaction that began when the whole log was in the file."""
    until = time.monotonic() + LOG_WAIT_S
    while True:
        with database.writing():
            connection = apsw.Connection(str(database.path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.set_busy_timeout(500)
            fetch(connection, "SELECT count(*) FROM sqlite_schema")  # before its first read it knows of no log
            with contextlib.suppress(apsw.BusyError):
                pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
                if pages == moved:
                    connection.execute("BEGIN")
                    fetch(connection, "SELECT count(*) FROM sqlite_schema")  # with a read the transaction begins
                    return connection
            connection.close()
        if time.monotonic() > until:
            message = f"The log of {database.path} is being read for more than {LOG_WAIT_S:.0f} s."
            hint = "It is tried again by itself; long reads of the database (a backup, a rebuild) hold it."
            raise StorageError(message, code="log_in_use", hint=hint)
        time.sleep(0.02)
