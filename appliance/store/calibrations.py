"""Fitted thresholds of evidence, one a collection."""

import time
from dataclasses import dataclass

from appliance.store import collections
from appliance.store.database import Database, fetch


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """`abstain_below` holds while `rules` do. `report`: JSON. `made_at`: seconds since the epoch."""

    collection: str
    abstain_below: float
    rules: str
    made_at: float
    report: bytes


_COLUMNS = "c.name, k.abstain_below, k.rules, k.made_at, k.report"
_FROM = f"SELECT {_COLUMNS} FROM calibrations k JOIN collections c ON c.id = k.collection_id"


class Calibrations:
    """The thresholds of one database. Thread-safe. Putting and removing one gives its collection a new version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, collection: str, abstain_below: float, rules: str, report: bytes) -> None:
        """Raises NotFound, DiskFull, StorageError."""
        with self._database.write() as connection:
            number = collections.require(connection, collection).id
            connection.execute(
                "INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?, ?, ?)",
                (number, abstain_below, rules, time.time(), report),
            )
            collections.changed(connection, number)

    def remove(self, collection: str) -> bool:
        """Whether there was one. Raises NotFound, DiskFull, StorageError."""
        with self._database.write() as connection:
            number = collections.require(connection, collection).id
            connection.execute("DELETE FROM calibrations WHERE collection_id = ?", (number,))
            removed = connection.changes() > 0
            if removed:
                collections.changed(connection, number)
        return removed

    def threshold(self, collection: str, rules: str) -> float | None:
        """`abstain_below` where one was fitted under these rules. Raises StorageError."""
        with self._database.read() as connection:
            rows = fetch(connection, f"{_FROM} WHERE c.name = ? AND k.rules = ?", (collection, rules))
        return float(rows[0][1]) if rows else None

    def all(self) -> list[StoredCalibration]:
        """By name of the collection. Raises StorageError."""
        with self._database.read() as connection:
            return [StoredCalibration(*row) for row in fetch(connection, f"{_FROM} ORDER BY c.name")]
