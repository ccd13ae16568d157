"""The open collections: what answers for each, and the version that rows and index had both reached."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from appliance.config import Settings
from appliance.errors import ApplianceError, InvalidRequest, NotFound
from appliance.faults import reached
from appliance.inference import Embedders
from appliance.keywords import KeywordUpkeep
from appliance.pulse import Pulse
from appliance.store import Collection, Space, Store
from appliance.types import Embedder, Ids
from appliance.vectors import CollectionIndex, Form, Links, adopt
from appliance.versions import Versions

DEFAULT_COLLECTION = "default"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Opened:
    """An index in use; `readers` questions search it now, and once `retired` the last of them closes it."""

    space: Space
    index: CollectionIndex
    readers: int = 0
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers one question from its beginning to its end, whatever is switched meanwhile."""

    embedder: Embedder
    index: CollectionIndex


class Collections:
    """Thread-safe. An index is opened when it is first asked for and stays open."""

    def __init__(
        self, store: Store, embedders: Embedders, folder: Path, settings: Settings, pulse: Pulse | None = None
    ) -> None:
        self._store = store
        self._embedders = embedders
        self._folder = folder
        self._settings = settings
        self._opened: dict[str, _Opened] = {}
        self._versions = Versions()
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        names = lambda: [found.name for found in self.all()]  # noqa: E731
        self._keywords = KeywordUpkeep(store, names, pulse or Pulse("keywords"))

    def give_way_to(self, busy: Callable[[], bool]) -> None:
        """What is read ahead waits while questions are worked on, for a bounded time."""
        self._keywords.busy = busy

    def read_ahead(self, seconds: float) -> bool:
        """Whether what the first questions need of keywords is in memory, after so many seconds at most."""
        return self._keywords.wait(seconds)

    def open_all(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Make the default collection if need be, and open the index of each.

        A collection whose model is not on this host is opened as well: only questions to it are refused.
        """
        if self._store.documents.collection(DEFAULT_COLLECTION) is None:
            embedder = self._embedders.named(self._settings.embedder)
            self._store.documents.ensure_collection(DEFAULT_COLLECTION, embedder.fingerprint, embedder.dimensions)
        self._keywords.start()  # reads ahead while graphs are loaded
        collections = self.all()
        self._remove_strays({str(collection.id) for collection in collections})
        for collection in collections:
            tell(f"opening the index of {collection.name}")
            self.index(collection.name)
            try:
                self._embedders.of(collection.embedder)
            except ApplianceError as error:
                log.error("collection_without_model", collection=collection.name, error=str(error), hint=error.hint)

    def all(self) -> list[Collection]:
        return self._store.documents.collections()

    def opened(self) -> dict[str, CollectionIndex]:
        """The open indexes by the name of their collection. Waits for nothing."""
        return {name: opened.index for name, opened in list(self._opened.items())}

    @property
    def open_count(self) -> int:
        return len(self._opened)

    def working(self) -> list[str]:
        """The work that is under way on indexes, a line each. Waits for nothing."""
        jobs = [(name, opened.index.job) for name, opened in list(self._opened.items())]
        return [f"index of {name}: {job.name}, {job.step} {job.done}/{job.total}" for name, job in jobs if job]

    # --- what answers ------------------------------------------------------------------------------------------------

    def embedder(self, name: str) -> Embedder:
        """The model of a collection; for one that does not exist yet, the model it will be made with.

        Raises Conflict when this host does not have it, ModelError when it cannot be used.
        """
        found = self._store.documents.collection(name)
        return self._embedders.of(found.embedder) if found else self._embedders.named(self._settings.embedder)

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[Serving]:
        """Model and index that belong together, kept usable until the block ends.

        Raises NotFound, Conflict when this host does not have the model, ModelError when it cannot be used.
        """
        self.index(name)
        with self._reading:
            opened = self._opened.get(name)
            if opened is None:
                raise _unknown(name)
            opened.readers += 1
        try:
            yield Serving(self._embedders.of(opened.space.embedder), opened.index)
        finally:
            with self._reading:
                opened.readers -= 1
                last = opened.retired and opened.readers == 0
            if last:
                opened.index.close()

    def index(self, name: str) -> CollectionIndex:
        """The vector index of a collection, opened on first use. Raises NotFound for an unknown collection."""
        opened = self._opened.get(name)
        if opened is not None:
            return opened.index
        with self._opening:
            if name not in self._opened:
                space = self._store.shadow.serving(name)
                self._opened[name] = _Opened(space, self.open_index(name, space))
                self.publish(name)
            return self._opened[name].index

    def publish(self, name: str, *, only_ingested: bool = False) -> None:
        """Rows and index agree again: questions from now on are asked of, and cached under, this version."""
        opened = self._opened.get(name)
        if opened is not None:
            version = (self._store.documents.version(name), opened.space.embedder)
            self._versions.publish(name, version, only_ingested=only_ingested)
            self._keywords.wake()

    def published(self, name: str) -> tuple[int, str]:
        """The version that rows and index had both reached, and the fingerprint of the model that answered then."""
        return self._versions.published(name)

    @property
    def versions(self) -> Versions:
        """Which versions collections are at, and which they left a moment ago."""
        return self._versions

    # --- a change of model -------------------------------------------------------------------------------------------

    def open_index(self, name: str, space: Space) -> CollectionIndex:
        """A vector index of one space of a collection, beside the one that answers. The caller closes it."""
        return CollectionIndex.open(
            self._directory(space),
            self._store.documents.vector_source(name, space.embedder),
            dimensions=space.dimensions,
            fingerprint=space.embedder,
            exact_scan_below=self._settings.exact_scan_below,
            threads=self._settings.threads,
        )

    def switch(self, name: str, index: CollectionIndex, known: Ids, commit: Callable[[], bool]) -> bool:
        """Let `index` answer from now on if `commit` makes its space the one that serves.

        `known` are the chunk ids it was given; those deleted since are taken out of it. Questions that are being
        answered finish with the index before, which is closed after the last of them.
        """
        with self._opening:
            if not commit():
                return False
            reached("model.switched")
            space = self._store.shadow.serving(name)
            with self._reading:
                before = self._opened.get(name)
                self._opened[name] = _Opened(space, index)
                idle = before is not None and before.readers == 0
                if before is not None:
                    before.retired = True
            index.remove(np.setdiff1d(known, self._store.documents.chunk_ids(name)))
            self.publish(name)
            reached("model.published")
        if before is not None and idle:
            before.index.close()
        return True

    def remove_index(self, space: Space) -> None:
        """Delete what is on disk of the index of a space that does not serve; it can be made again from its vectors."""
        shutil.rmtree(self._directory(space), ignore_errors=True)

    # --- ends --------------------------------------------------------------------------------------------------------

    def drop(self, name: str) -> None:
        """Delete a collection and its indexes.

        Raises NotFound, InvalidRequest for the default collection.
        """
        if name == DEFAULT_COLLECTION:
            raise InvalidRequest("The default collection cannot be dropped.", hint="Delete its documents instead.")
        if self._store.documents.collection(name) is None:
            raise _unknown(name)
        with self._opening:
            spaces = [self._store.shadow.serving(name), self._store.shadow.find(name)]
            opened = self._opened.pop(name, None)
            self._versions.drop(name)
            self._store.documents.drop_collection(name)
            reached("delete.collection_dropped")
            if opened is not None:
                opened.index.close()
            for space in filter(None, spaces):
                self.remove_index(space)

    def adopt(self, name: str, links: Links, labels: Ids, scratch: Path) -> None:
        """Before `made_anew`: give the index of a collection the graph that another machine has built.

        A collection that is scanned exactly here needs none. Raises DiskFull, StorageError.
        """
        space, threads = self._store.shadow.serving(name), self._settings.threads
        if len(labels) > self._settings.exact_scan_below:
            form = Form(space.dimensions, space.embedder, self._settings.exact_scan_below, threads)
            source = self._store.documents.vector_source(name, space.embedder)
            adopt(self._directory(space), source, form, links, labels, scratch)

    def made_anew(self, name: str) -> None:
        """A collection was made in one piece, perhaps in place of an empty one: open its index from its rows."""
        with self._opening, self._reading:
            before = self._opened.pop(name, None)
            idle = before is not None and before.readers == 0
            if before is not None:
                before.retired = True
        if before is not None and idle:
            before.index.close()
        self.index(name)
        self.publish(name)

    def remake_keywords(self, name: str) -> None:
        """Make what keyword search derives from the chunks anew, in the background."""
        self._keywords.remake(name)

    def close(self) -> None:
        self._keywords.close()
        for opened in self._opened.values():
            opened.index.close()

    def _remove_strays(self, ids: set[str]) -> None:
        """Indexes of collections that are gone: a crash came between their rows and their files."""
        for folder in self._folder.iterdir():
            number = folder.name.removesuffix("b")
            if number.isdecimal() and number not in ids:
                log.warning("index_of_dropped_collection_removed", index=folder.name)
                shutil.rmtree(folder, ignore_errors=True)

    def _directory(self, space: Space) -> Path:
        """Of the first slot `index/7`, of the second `index/7b`."""
        return self._folder / f"{space.collection_id}{'b' if space.slot else ''}"


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"There is no collection {name!r}.",
        code="unknown_collection",
        hint="`collections list` shows them; ingesting into a new name makes one.",
    )
