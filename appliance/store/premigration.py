"""The database as it was before the last migration: what a program of the version before can go back to."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw

from appliance.errors import DiskFull
from appliance.faults import reached
from appliance.paths import sync_path

FOLDER = "before-migration"
PAGES = 4_000  # copied between two signs of progress: 16 MB
SPARE_BYTES = 256 * 1024**2  # left free beside a copy


def copy_of(database: Path) -> Path:
    """Where the copy lies."""
    return database.parent / FOLDER / database.name


def forget(database: Path) -> None:
    """Remove the copy, and the database that it replaced, if there is one."""
    shutil.rmtree(database.parent / FOLDER, ignore_errors=True)


def keep(connection: apsw.Connection, database: Path, tell: Callable[[str], None]) -> None:
    """Copy the database, in which nobody writes, before it is migrated; an older copy goes.

    A copy that an unfinished migration has made stays: it is from before all of it. Raises DiskFull when there is no
    room: the database then stays as it is, unmigrated.
    """
    target = copy_of(database)
    if target.exists() and _unfinished(database).exists():
        return
    forget(database)
    target.parent.mkdir(mode=0o700)
    _unfinished(database).touch()
    copy_database(connection, target, tell)


def finished(database: Path) -> None:
    """All migrations are applied."""
    _unfinished(database).unlink(missing_ok=True)


def _unfinished(database: Path) -> Path:
    return database.parent / FOLDER / "unfinished"


def copy_database(source: apsw.Connection, target: Path, tell: Callable[[str], None]) -> None:
    """One state, copied to `target`, whole or not at all, while others use the source. Raises DiskFull, apsw.Error."""
    size = int(str(source.pragma("page_count"))) * int(str(source.pragma("page_size")))
    free = shutil.disk_usage(target.parent).free
    if free < size + SPARE_BYTES:
        hint = f"Free {(size + SPARE_BYTES - free) // 1_000_000 + 1} MB on the disk of {target.parent}; then try again."
        raise DiskFull(f"There is no room for a copy of the database ({size // 1_000_000} MB).", hint=hint)
    partial = target.with_name(f"{target.name}.new")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    made = apsw.Connection(str(partial))
    try:
        with made.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
                tell(
                    f"copying the database before its migration ({backup.remaining} of {backup.page_count} pages left)"
                )
        made.pragma("journal_mode", "delete")
    finally:
        made.close()
    sync_path(partial)
    partial.rename(target)
    sync_path(target.parent)
    reached("migration.copied")


def copy_live(database: Path, target: Path) -> None:
    """`copy_database` of a file that another process may have open. Raises DiskFull, apsw.Error."""
    source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        source.set_busy_timeout(5_000)
        copy_database(source, target, lambda _: None)
    finally:
        source.close()


def schema_of(database: Path) -> int:
    """The schema version of a database file that nobody has open, or that others use; 0 when there is none."""
    if not database.exists():
        return 0
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(5_000)
        return int(str(connection.pragma("user_version")))
    finally:
        connection.close()


def written_since(database: Path, moment: float) -> int:
    """Documents that were added since `moment` (seconds since the epoch)."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        found = connection.execute("SELECT count(*) FROM documents WHERE added_at > ?", (moment,)).get
        return int(str(found))
    finally:
        connection.close()


def go_back(database: Path) -> None:
    """Put the copy in the place of the database, which nobody has open, and keep the latter beside it as `replaced`.

    What is derived from rows goes: ids and versions that are used a second time must not meet what was kept of the
    first time. It can be done twice. Raises OSError.
    """
    copy, replaced = copy_of(database), database.parent / FOLDER / "replaced"
    replaced.mkdir(mode=0o700, exist_ok=True)
    if not copy.exists():
        return
    for suffix in ("-shm", "-wal", ""):
        found = database.with_name(database.name + suffix)
        if found.exists():
            found.rename(replaced / found.name)
    for derived in ("index", "cache"):
        shutil.rmtree(database.parent / derived, ignore_errors=True)
    copy.rename(database)
    sync_path(database.parent)
