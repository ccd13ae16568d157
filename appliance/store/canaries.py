"""Canaries that were started: the newest one counts, the others are history. Every change is recorded with it."""

import json
import time
from dataclasses import dataclass

from appliance.store.database import Database, fetch
from appliance.store.flags import FlagChange, note


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """`spec` is JSON; `state` running, stopped, promoted or rolled_back, the last three with a `reason`."""

    id: int
    spec: str
    state: str
    reason: str
    looks: int
    started_at: float
    ended_at: float | None


class Canaries:
    """The canaries of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, spec: str, collection: str, by: str) -> CanaryRow:
        """Raises DiskFull, StorageError."""
        now = time.time()
        with self._database.write() as connection:
            connection.execute("INSERT INTO canaries VALUES (NULL, ?, 'running', '', 0, ?, NULL)", (spec, now))
            number = connection.last_insert_rowid()
            note(connection, FlagChange(now, by, "canary started", collection, "canary", None, spec))
        return CanaryRow(number, spec, "running", "", 0, now, None)

    def end(self, row: CanaryRow, state: str, collection: str, by: str, reason: str) -> None:
        """Raises DiskFull, StorageError."""
        now = time.time()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE canaries SET state = ?, reason = ?, ended_at = ? WHERE id = ?", (state, reason, now, row.id)
            )
            after = json.dumps(state)
            note(connection, FlagChange(now, by, f"canary {state}", collection, "canary", row.spec, after, reason))

    def looked(self, number: int, looks: int) -> None:
        """Raises DiskFull, StorageError."""
        with self._database.write() as connection:
            connection.execute("UPDATE canaries SET looks = ? WHERE id = ?", (looks, number))

    def newest(self) -> CanaryRow | None:
        """Raises StorageError."""
        columns = "id, spec, state, reason, looks, started_at, ended_at"
        with self._database.read() as connection:
            rows = fetch(connection, f"SELECT {columns} FROM canaries ORDER BY id DESC LIMIT 1")
        return CanaryRow(*rows[0]) if rows else None
