"""The open collections: the vector index of each, and the version that rows and index had both reached."""

import shutil
import threading
from pathlib import Path

from appliance.config import Settings
from appliance.errors import InvalidRequest, NotFound
from appliance.faults import reached
from appliance.store import Collection, Store
from appliance.types import Embedder
from appliance.vectors import CollectionIndex

DEFAULT_COLLECTION = "default"


class Collections:
    """Thread-safe. An index is opened when it is first asked for and stays open."""

    def __init__(self, store: Store, embedder: Embedder, folder: Path, settings: Settings) -> None:
        self._store = store
        self._embedder = embedder
        self._folder = folder
        self._settings = settings
        self._indexes: dict[str, CollectionIndex] = {}
        self._published: dict[str, int] = {}
        self._opening = threading.Lock()

    def open_all(self) -> None:
        """Make the default collection if need be, and open all that were made with this embedder."""
        self._store.documents.ensure_collection(
            DEFAULT_COLLECTION, self._embedder.fingerprint, self._embedder.dimensions
        )
        for collection in self.all():
            if collection.embedder == self._embedder.fingerprint:
                self.index(collection.name)

    def all(self) -> list[Collection]:
        return self._store.documents.collections()

    @property
    def open_count(self) -> int:
        return len(self._indexes)

    def index(self, name: str) -> CollectionIndex:
        """The vector index of a collection, opened on first use.

        Raises NotFound for an unknown collection, Conflict for one made with another embedding model.
        """
        opened = self._indexes.get(name)
        if opened is not None:
            return opened
        with self._opening:
            if name not in self._indexes:
                self._indexes[name] = self._open(name)
                self.publish(name)
            return self._indexes[name]

    def publish(self, name: str) -> None:
        """Rows and index agree again: questions from now on are asked of, and cached under, this version."""
        self._published[name] = self._store.documents.version(name)

    def published(self, name: str) -> int:
        """The version that rows and index had both reached; 0 when the collection has not been opened."""
        return self._published.get(name, 0)

    def drop(self, name: str) -> None:
        """Delete a collection and its index.

        Raises NotFound, InvalidRequest for the default collection.
        """
        if name == DEFAULT_COLLECTION:
            raise InvalidRequest("The default collection cannot be dropped.", hint="Delete its documents instead.")
        collection = self._require(name)
        with self._opening:
            index = self._indexes.pop(name, None)
            self._published.pop(name, None)
            self._store.documents.drop_collection(name)
            reached("delete.collection_dropped")
            if index is not None:
                index.close()
            shutil.rmtree(self._folder / str(collection.id), ignore_errors=True)

    def close(self) -> None:
        for index in self._indexes.values():
            index.close()

    def _open(self, name: str) -> CollectionIndex:
        collection = self._require(name)
        self._store.documents.ensure_collection(name, self._embedder.fingerprint, self._embedder.dimensions)
        return CollectionIndex.open(
            self._folder / str(collection.id),
            self._store.documents.vector_source(name),
            dimensions=collection.dimensions,
            fingerprint=collection.embedder,
            exact_scan_below=self._settings.exact_scan_below,
            threads=self._settings.threads,
        )

    def _require(self, name: str) -> Collection:
        collection = self._store.documents.collection(name)
        if collection is None:
            raise NotFound(
                f"There is no collection {name!r}.",
                code="unknown_collection",
                hint="`collections list` shows them; ingesting into a new name makes one.",
            )
        return collection
