"""Importing a pack: in one transaction, so that the collection is what the pack says or what it was before."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import apsw

from appliance.errors import Conflict, InvalidRequest
from appliance.packs import form
from appliance.packs.form import PackManifest
from appliance.packs.verify import Reading, digest_pass, not_over
from appliance.store import Collection, Store, collections, exchange, rows
from appliance.trust import PublicKey
from appliance.types import Ids, NewDocument
from appliance.vectors import Links

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What an import did. `removed` and `added` are chunk ids, ascending; `made` says that the collection
    holds nothing else; `graph` are the links of the pack and the places of their chunks in `added`.
    """

    manifest: PackManifest
    key: PublicKey
    documents: int
    removed_documents: int
    removed: Ids
    added: Ids
    made: bool
    graph: tuple[Links, Ids] | None = None


class Import:
    """One import into one store."""

    def __init__(self, store: Store, keys: Iterable[PublicKey], path: Path) -> None:
        """Checks the seal and the digest of the whole file. Raises NotFound, InvalidRequest, Untrusted."""
        self._store = store
        self._reading = Reading(path, keys)
        digest_pass(path, self._reading)
        self.manifest = form.read_manifest(path)
        self._removed: list[Ids] = []
        self._added: list[Ids] = []

    def run(self, name: str, *, replace: bool, progress: Progress) -> TakenIn:
        """Take it in as collection `name`; with `replace` a collection that is there becomes what the pack says.

        Raises Conflict (collection_exists, embedder_mismatch), InvalidRequest (pack_base_mismatch, pack_damaged),
        Untrusted, StorageError, DiskFull; then nothing was changed.
        """
        fingerprint, dimensions = self.manifest.embedder, self.manifest.dimensions
        with self._store.database.write() as connection:
            before = collections.find(connection, name)
            listed = exchange.listing(connection, before.id) if before else {}
            if before is not None and self._is_there(before, listed):
                nothing = exchange.joined([])
                return TakenIn(self.manifest, self._reading.key, 0, 0, nothing, nothing, made=False)
            self._check(name, before, listed, replace=replace)
            collection = exchange.make(connection, name, fingerprint, dimensions)
            _check_model(collection, self.manifest)
            unseen = dict(listed) if self.manifest.base is None else {}
            documents = 0
            for new in self._reading.documents(progress):
                if unseen.pop(new.source, None) == self._reading.listed[new.source]:
                    continue  # the same is there already
                self._put(connection, collection, new)
                documents += 1
            gone = [*self._reading.removed, *unseen]
            for source in gone:
                self._remove(connection, collection, source)
            self._check_state(connection, collection)
            if documents or gone:
                collections.changed(connection, collection.id)
        made = before is None or before.id != collection.id or not before.documents
        ids = exchange.joined(self._removed), exchange.joined(self._added)
        return TakenIn(self.manifest, self._reading.key, documents, len(gone), *ids, made, self._reading.graph)

    def _is_there(self, found: Collection, listed: dict[str, bytes]) -> bool:
        """The very state with vectors of the same model: an import that was killed after its commit is done again."""
        same = (found.embedder, exchange.state_of(listed)) == (self.manifest.embedder, self.manifest.state)
        return same and bool(listed)

    def _check(self, name: str, found: Collection | None, listed: dict[str, bytes], *, replace: bool) -> None:
        here = exchange.state_of(listed)
        if self.manifest.base is not None and here != self.manifest.base:
            raise not_over(self.manifest, here)
        if self.manifest.base is None and found is not None and found.documents and not replace:
            raise Conflict(
                f"The collection {name!r} holds documents.",
                code="collection_exists",
                hint="Import into another name with --collection, or let the pack take its place with --replace.",
            )

    def _put(self, connection: apsw.Connection, collection: Collection, new: NewDocument) -> None:
        try:
            _, added, removed = rows.put_document(connection, collection, new)
        except InvalidRequest as error:  # vectors that are none, offsets that cut other text
            raise form.damaged(str(error)) from error
        exchange.forget_files(connection, collection.name, new.source)
        self._added.append(added)
        self._removed.append(removed)

    def _remove(self, connection: apsw.Connection, collection: Collection, source: str) -> None:
        found = exchange.document_id(connection, collection, source)
        if found is None:
            raise form.damaged(f"it removes {source!r}, which its base does not hold")
        self._removed.append(rows.remove_documents(connection, collection.id, [found]))
        exchange.forget_files(connection, collection.name, source)

    def _check_state(self, connection: apsw.Connection, collection: Collection) -> None:
        """What is there now is what the pack promised, document by document."""
        if exchange.state_of(exchange.listing(connection, collection.id)) != self.manifest.state:
            raise form.damaged("what it leads to is not the state that it names")


def _check_model(collection: Collection, manifest: PackManifest) -> None:
    if (collection.embedder, collection.dimensions) != (manifest.embedder, manifest.dimensions):
        raise Conflict(
            f"The vectors of collection {collection.name!r} are not of the pack's model ({manifest.embedder_name}).",
            code="embedder_mismatch",
            hint="Import into another name with --collection, or let the vectors be made anew with --reembed.",
        )
