"""Flags that are set, and the record of who changed them: every change is one transaction with its entry."""

import time
from dataclasses import dataclass

import apsw

from appliance.store import collections
from appliance.store.database import Database, fetch

EVERYWHERE = ""  # in place of a collection


@dataclass(frozen=True, slots=True)
class FlagChange:
    """An entry of the record. `before` and `after` are JSON, None for not set; `at` in seconds since the epoch."""

    at: float
    principal: str
    action: str
    collection: str
    name: str
    before: str | None
    after: str | None
    reason: str = ""


class StoredFlags:
    """The flags of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[tuple[str, str, str]]:
        """(collection or EVERYWHERE, name, JSON) of each. Raises StorageError."""
        with self._database.read() as connection:
            return [(str(c), str(n), str(v)) for c, n, v in fetch(connection, "SELECT * FROM flags ORDER BY 1, 2")]

    def put(self, collection: str, values: dict[str, str | None], *, by: str, action: str, reason: str = "") -> None:
        """Set flags of a collection (or EVERYWHERE) to JSON values, unset those that are None; all or none.

        Raises NotFound for an unknown collection, DiskFull, StorageError.
        """
        with self._database.write() as connection:
            if collection != EVERYWHERE:
                collections.require(connection, collection)
            for name, value in values.items():
                where = (collection, name)
                rows = fetch(connection, "SELECT value FROM flags WHERE collection = ? AND name = ?", where)
                before = str(rows[0][0]) if rows else None
                if value is None:
                    connection.execute("DELETE FROM flags WHERE collection = ? AND name = ?", where)
                else:
                    connection.execute("INSERT OR REPLACE INTO flags VALUES (?, ?, ?)", (*where, value))
                note(connection, FlagChange(time.time(), by, action, collection, name, before, value, reason))

    def changes(self, most: int = 100) -> list[FlagChange]:
        """The record, newest first. Raises StorageError."""
        columns = "at, principal, action, collection, name, before, after, reason"
        with self._database.read() as connection:
            rows = fetch(connection, f"SELECT {columns} FROM flag_changes ORDER BY id DESC LIMIT ?", (most,))
        return [FlagChange(*row) for row in rows]


def note(connection: apsw.Connection, change: FlagChange) -> None:
    """Add an entry to the record, within the transaction of what it tells."""
    connection.execute(
        "INSERT INTO flag_changes (at, principal, action, collection, name, before, after, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(change.at, change.principal, change.action, change.collection),
            *(change.name, change.before, change.after, change.reason),
        ),
    )
