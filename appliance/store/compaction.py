"""Writes the database anew without what was deleted: keyword segments merged, the file vacuumed, the log emptied."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from appliance.errors import DiskFull, StorageError
from appliance.faults import reached
from appliance.store.database import BUSY_MS, Database, fetch
from appliance.store.keyword_pages import tombstones
from appliance.store.sqlite_errors import translated

MERGE_PAGES = 2_000  # of a keyword index written in one transaction: some 8 MB, so that others wait no longer
MERGE_ROUNDS = 4
LOG_WAIT_S = 30.0  # for readers to let go of the log
SPARE_BYTES = 64 * 1024**2


def keyword_tables(connection: apsw.Connection, collection_ids: list[int]) -> list[str]:
    """The full-text tables of these collections."""
    named = fetch(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%USING fts5(%'")
    prefixes = tuple(f"fts_{number}" for number in collection_ids)
    return sorted(name for (name,) in named if name.startswith("fts_") and _owner(name) in prefixes)


def _owner(table: str) -> str:
    return "_".join(table.split("_")[:2])


def merge_keywords(database: Database, table: str, check: Callable[[], None]) -> None:
    """Merge the segments of a full-text table into one, so that the terms of deleted rows are in none.

    Deleting a row only marks it: its terms stay in the segments until they are merged. `check` is called between the
    transactions and may raise. Raises StorageError, DiskFull.
    """
    for _ in range(MERGE_ROUNDS):
        _merge_once(database, table, check)
        with database.read() as connection:
            if not tombstones(connection, table):
                return
    raise StorageError(
        f"The keyword index {table} could not be merged: rows were deleted meanwhile.",
        code="index_busy",
        hint="It is tried again by itself; stop deleting for a while.",
    )


def _merge_once(database: Database, table: str, check: Callable[[], None]) -> None:
    pages = -MERGE_PAGES  # negative: take all segments, also those that would not be merged yet
    while True:
        check()
        with database.write() as connection, secure_delete(connection):
            before = connection.total_changes()
            connection.execute(f"INSERT INTO {table}({table}, rank) VALUES ('merge', ?)", (pages,))
            if connection.total_changes() - before < 2:  # the command itself counts as one
                return
        pages = MERGE_PAGES


class secure_delete:
    """Within it SQLite overwrites with zeros what it deletes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.pragma("secure_delete", True)

    def __exit__(self, *_: object) -> None:
        self._connection.pragma("secure_delete", False)


def check_room(path: Path) -> None:
    """Raises DiskFull when the disk cannot hold what `compact` writes: the database twice, beside the database."""
    needed = 2 * path.stat().st_size + SPARE_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise DiskFull(
            f"Erasing writes the database anew and needs {needed:,} bytes; the disk has {free:,} free.",
            code="erase_needs_room",
            hint="Free that much on the disk of the data directory, then erase again. Nothing was changed.",
        )


def compact(database: Database, interruptible: Callable[[Callable[[], None] | None], None]) -> int | None:
    """Write the file anew, without free pages and gaps, and empty the log. Readers go on; writers wait.

    `interruptible` is given a function that ends the work early, and None when it is too late. Returns how many free
    pages are left, which may hold bytes of what was deleted; None when the work was ended early. Raises StorageError
    (log_in_use when readers hold the log), DiskFull.
    """
    with _alone(database) as connection:
        connection.pragma("secure_delete", True)
        connection.pragma("temp_store", "file")
        connection.pragma("temp_store_directory", str(database.path.parent))  # of this process; we alone use files
        interruptible(connection.interrupt)
        try:
            connection.execute("VACUUM")
        except apsw.InterruptError:
            return None
        finally:
            interruptible(None)
            connection.pragma("temp_store_directory", "")
        reached("erase.vacuumed")
        _empty_log(connection, database.path)
        return int(str(connection.pragma("freelist_count")))


@contextmanager
def _alone(database: Database) -> Iterator[apsw.Connection]:
    """A connection of one's own, outside a transaction, while nobody else writes."""
    with database.writing(), translated(database.path):
        connection = apsw.Connection(str(database.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_MS)
            fetch(connection, "SELECT count(*) FROM sqlite_schema")  # before its first read it knows of no log
            yield connection
        finally:
            connection.close()


def empty_log(database: Database) -> None:
    """Move the whole log into the database and cut it to nothing. Raises StorageError (log_in_use)."""
    with _alone(database) as connection:
        _empty_log(connection, database.path)


def _empty_log(connection: apsw.Connection, path: Path) -> None:
    until = time.monotonic() + LOG_WAIT_S
    connection.set_busy_timeout(500)
    while True:
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return
        except apsw.BusyError as error:
            if time.monotonic() > until:
                raise StorageError(
                    f"The log of {path} is being read for more than {LOG_WAIT_S:.0f} s and cannot be emptied.",
                    code="log_in_use",
                    hint="It is tried again by itself; long reads of the database (a backup, a rebuild) hold it.",
                ) from error


def log_bytes(database: Database) -> int:
    """Size of the write-ahead log."""
    try:
        return os.stat(f"{database.path}-wal").st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0
