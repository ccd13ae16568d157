"""SQLite: the one truth. Documents, keyword index, keys and jobs in one file."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from appliance.store.calibrations import Calibrations, StoredCalibration
from appliance.store.canaries import Canaries
from appliance.store.change_rows import ChangeRow, ModelChanges, NewChange
from appliance.store.collections import Collection
from appliance.store.costs import Costs, DayCosts, Sums
from appliance.store.database import Database
from appliance.store.documents import Committed, Documents
from appliance.store.erasures import Erasures
from appliance.store.fields import Fields
from appliance.store.flags import StoredFlags
from appliance.store.jobs import Jobs
from appliance.store.keys import KeyInfo, Keys
from appliance.store.lexical import Lexical, LexicalResult
from appliance.store.segments import Segments
from appliance.store.shadow import ChunkText, Shadow
from appliance.store.spaces import Space
from appliance.store.vectors import CollectionVectors

__all__ = [
    "Calibrations",
    "Canaries",
    "ChangeRow",
    "ChunkText",
    "Collection",
    "CollectionVectors",
    "Committed",
    "Costs",
    "Database",
    "DayCosts",
    "Documents",
    "Erasures",
    "Fields",
    "Jobs",
    "KeyInfo",
    "Keys",
    "Lexical",
    "LexicalResult",
    "ModelChanges",
    "NewChange",
    "Segments",
    "Shadow",
    "Space",
    "Store",
    "StoredCalibration",
    "StoredFlags",
    "Sums",
]


@dataclass(frozen=True, slots=True)
class Store:
    """An open database and the views on it."""

    database: Database
    documents: Documents
    fields: Fields
    lexical: Lexical
    segments: Segments
    keys: Keys
    jobs: Jobs
    shadow: Shadow
    changes: ModelChanges
    erasures: Erasures
    costs: Costs
    calibrations: Calibrations
    flags: StoredFlags
    canaries: Canaries

    @classmethod
    def open(cls, path: Path, tell: Callable[[str], None] = lambda _: None) -> "Store":
        """Open or make the database file. Raises DiskFull, StorageError (see Database.open)."""
        database = Database.open(path, tell)
        try:
            views = (Documents(database), Fields(database), Lexical(database), Segments(database))
            work = (Keys(database), Jobs(database), Shadow(database), ModelChanges(database))
            kept = (Erasures(database), Costs(database), Calibrations(database))
            return cls(database, *views, *work, *kept, StoredFlags(database), Canaries(database))
        except BaseException:
            database.close()
            raise

    def snapshot(self) -> AbstractContextManager[object]:
        """What this thread reads within it is of one state, in one transaction. Raises StorageError."""
        return self.database.read(snapshot=True)

    def close(self) -> None:
        """Write everything into the file and close it. A second call does nothing."""
        self.database.close()
