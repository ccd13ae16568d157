"""SQLite: the one truth. Documents, keyword index, keys and jobs in one file."""

from dataclasses import dataclass
from pathlib import Path

from appliance.store.collections import Collection
from appliance.store.database import Database
from appliance.store.documents import CollectionVectors, Committed, Documents
from appliance.store.jobs import Jobs
from appliance.store.keys import KeyInfo, Keys
from appliance.store.lexical import Lexical, LexicalResult

__all__ = [
    "Collection",
    "CollectionVectors",
    "Committed",
    "Database",
    "Documents",
    "Jobs",
    "KeyInfo",
    "Keys",
    "Lexical",
    "LexicalResult",
    "Store",
]


@dataclass(frozen=True, slots=True)
class Store:
    """An open database and the views on it."""

    database: Database
    documents: Documents
    lexical: Lexical
    keys: Keys
    jobs: Jobs

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open or make the database file. Raises DiskFull, StorageError (see Database.open)."""
        database = Database.open(path)
        try:
            return cls(database, Documents(database), Lexical(database), Keys(database), Jobs(database))
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Write everything into the file and close it. A second call does nothing."""
        self.database.close()
