"""Brings a database to the newest schema: numbered SQL files, each in its own transaction, counted in user_version."""

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import apsw

from appliance.errors import StorageError
from appliance.faults import reached
from appliance.store import premigration

APPLICATION_ID = 0x52414741  # "RAGA" in the file header, set by the first migration
PROGRESS_STEPS = 2_000_000  # instructions of SQLite's machine, some tens of milliseconds
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def migrations() -> list[tuple[int, str]]:
    """The packaged migrations as (number, SQL), ascending from 1 without gaps.

    Raises StorageError when the program's own files are incomplete.
    """
    folder = resources.files("appliance.store").joinpath("migrations")
    found = sorted(
        (int(match[1]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    )
    if not found or [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise StorageError(
            f"The program's migrations are incomplete: found numbers {[number for number, _ in found]}.",
            code="installation_broken",
            hint="Install rag-appliance again.",
        )
    return found


def migrate(connection: apsw.Connection, tell: Callable[[str], None] = lambda _: None) -> int:
    """Apply what is missing and return the schema version. A failed migration leaves the version before it.

    A database that is migrated is copied before (see premigration). `tell` learns which one is applied, and again every
    some million steps of SQLite's machine that it goes on.
    Raises StorageError when the database is newer than the program, or was made by another program; DiskFull.
    """
    known = migrations()
    version = _version(connection)
    if version > len(known):
        raise StorageError(
            f"The database has schema version {version}, but this program knows only up to {len(known)}.",
            code="database_too_new",
            hint="It was used by a newer rag-appliance: run that version, or restore a backup made with this one.",
        )
    _refuse_foreign(connection, version)
    path = Path(connection.filename)
    if 0 < version < len(known):
        premigration.keep(connection, path, tell)
    for number, sql in known[version:]:
        goes_on = _told(tell, f"migrating the database to schema {number} of {len(known)}")
        goes_on()
        connection.set_progress_handler(goes_on, PROGRESS_STEPS)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(sql)
            connection.execute(f"PRAGMA user_version = {number}")
            reached("migration.applied")
            connection.execute("COMMIT")
            reached("migration.committed")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.set_progress_handler(None)
    if version:
        premigration.finished(path)
    return len(known)


def _told(tell: Callable[[str], None], step: str) -> Callable[[], bool]:
    def goes_on() -> bool:
        tell(step)
        return False  # True would interrupt the statement

    return goes_on


def _version(connection: apsw.Connection) -> int:
    return int(str(connection.pragma("user_version")))


def _refuse_foreign(connection: apsw.Connection, version: int) -> None:
    ours = int(str(connection.pragma("application_id"))) == APPLICATION_ID
    empty = next(iter(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")), None) is None
    if not ours and not (version == 0 and empty):
        raise StorageError(
            "The database file belongs to another program.",
            code="database_foreign",
            hint="Choose another data directory; this file was left as it is.",
        )
