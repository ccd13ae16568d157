"""Database files that no appliance has open: copies that were restored, and those that are about to be replaced."""

import contextlib
from pathlib import Path

import apsw


def quick_check(path: Path) -> list[str]:
    """What SQLite finds wrong in the structure of a file, nothing when it is whole."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
        finally:
            connection.close()
    except apsw.Error as error:
        found = [str(error)]
    return [] if found == ["ok"] else found


def settle_log(path: Path) -> None:
    """Bring the log of a database into it and remove it, so that it never meets a file that takes its place.

    A damaged database loses its log. Raises OSError.
    """
    if path.exists():
        with contextlib.suppress(apsw.Error):
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.pragma("schema_version")  # before its first read it knows of no log
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                connection.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
