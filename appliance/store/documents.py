"""Documents and what hangs on them: written whole in one transaction, read by id, source, filter or collection."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from appliance.errors import InvalidRequest, NotFound
from appliance.faults import reached
from appliance.store import collections, consistency, rows, vectors
from appliance.store.collections import Collection
from appliance.store.database import MAX_ID, Database, carray, fetch, is_id
from appliance.store.eligible import Eligible
from appliance.store.recent import Recent
from appliance.store.vectors import CollectionVectors
from appliance.types import (
    Chunk,
    Document,
    DocumentInfo,
    Filter,
    Ids,
    NewDocument,
    Page,
    Quoted,
    SentenceVectors,
)

MAX_LISTED = 1_000
KEPT_CHUNKS = 16_384  # read last, 2 KB each

_INFO = (
    "SELECT d.id, c.name, d.source, d.title, d.media_type, d.sha256, d.characters, d.chunks, "
    "json_array_length(d.pages), d.metadata, d.added_at FROM documents d JOIN collections c ON c.id = d.collection_id"
)
_CHUNK = (
    'SELECT k.id, k.document_id, c.name, d.source, d.title, k.section, k.page, k.start, k."end", k.text, k.tokens '
    "FROM chunks k JOIN documents d ON d.id = k.document_id JOIN collections c ON c.id = k.collection_id"
)


@dataclass(frozen=True, slots=True)
class Committed:
    """A document that is durable: its chunk ids, and those (`removed`) of the version it replaced."""

    document_id: int
    chunk_ids: Ids
    removed: Ids
    collection_version: int


class Documents:
    """The documents of one database. Thread-safe; every method may raise StorageError, writes also DiskFull."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._eligible = Eligible()
        self._recent: Recent[Chunk] = Recent(KEPT_CHUNKS)

    # --- collections

    def collections(self) -> list[Collection]:
        """All collections by name."""
        with self._database.read() as connection:
            return collections.find_all(connection)

    def collection(self, name: str) -> Collection | None:
        with self._database.read() as connection:
            return collections.find(connection, name)

    def version(self, name: str) -> int:
        """Grows with every change of the collection and never repeats; 0 when there is no such collection."""
        with self._database.read() as connection:
            return connection.execute("SELECT version FROM collections WHERE name = ?", (name,)).get or 0

    def ensure_collection(self, name: str, embedder: str, dimensions: int) -> Collection:
        """The collection, made when it is not there.

        Raises Conflict when another embedder made it, InvalidRequest for a bad name.
        """
        found = self.collection(name)
        if found is None:
            collections.check_name(name)
            with self._database.write() as connection:
                found = collections.find(connection, name)
                if found is None:
                    collections.create(connection, name, embedder, dimensions)
                    found = collections.require(connection, name)
        collections.check_embedder(found, embedder, dimensions)
        return found

    def drop_collection(self, name: str) -> None:
        """Remove the collection with everything in it. Raises NotFound."""
        with self._database.write() as connection:
            collections.drop(connection, collections.require(connection, name).id)

    # --- writing

    def put(self, collection: str, documents: Sequence[NewDocument]) -> list[Committed]:
        """Store documents in one transaction, each replacing the one of the same source (whose id it keeps).

        All are durable when this returns; on any error none is there. Raises NotFound (collection), InvalidRequest
        (a vector, offset or text that cannot be stored).
        """
        if not documents:
            return []
        try:
            with self._database.write() as connection:
                found = collections.require(connection, collection)
                written = [rows.put_document(connection, found, new) for new in documents]
                version = collections.changed(connection, found.id)
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                "A text holds half of a surrogate pair, which is no character.",
                code="invalid_text",
                hint="Decode the file with errors='replace'.",
            ) from error
        return [Committed(document, chunks, removed, version) for document, chunks, removed in written]

    def delete(self, collection: str, document_ids: Sequence[int]) -> Ids:
        """Remove documents with all that belongs to them; returns their chunk ids.

        Ids that are not in the collection are ignored. Raises NotFound for an unknown collection.
        """
        with self._database.write() as connection:
            found = collections.require(connection, collection)
            before = found.documents
            removed = rows.remove_documents(connection, found.id, [number for number in document_ids if is_id(number)])
            if collections.require(connection, collection).documents != before:
                collections.changed(connection, found.id)
            reached("delete.rows_removed")
        return removed

    # --- reading documents

    def with_source(self, collection: str, source: str) -> int:
        """The id of the document of this source, or of one that ends with `/source`. Raises NotFound."""
        with self._database.read() as connection:
            found = fetch(
                connection,
                "SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id WHERE c.name = ?1 "
                "AND (d.source = ?2 OR substr(d.source, -length(?2) - 1) = '/' || ?2) ORDER BY d.source != ?2 LIMIT 1",
                (collection, source),
            )
        if not found:
            raise NotFound(
                f"Collection {collection!r} has no document {source!r}.",
                code="unknown_document",
                hint="`documents list` shows their sources.",
            )
        return int(found[0][0])

    def get(self, document_id: int) -> Document:
        """Raises NotFound."""
        with self._database.read() as connection:
            found = fetch(
                connection,
                "SELECT d.id, c.name, d.source, d.title, d.media_type, d.sha256, d.text, d.pages, "
                "d.metadata, d.added_at FROM documents d JOIN collections c ON c.id = d.collection_id WHERE d.id = ?",
                (_bounded(document_id),),
            )
        if not found:
            raise _no_document(document_id)
        *plain, pages, metadata, added_at = found[0]
        numbered = tuple(Page(*page) for page in json.loads(pages))
        return Document(*(*plain, numbered, json.loads(metadata), added_at))

    def quoted(self, document_id: int, start: int, end: int) -> Quoted:
        """Characters `[start, end)` of a document's text, as many as there are. Raises NotFound.

        A fifth of the time of `get`, which makes a str of the whole text.
        """
        with self._database.read() as connection:
            query = "SELECT source, title, pages, substr(text, ?, ?) FROM documents WHERE id = ?"
            found = fetch(connection, query, (start + 1, end - start, _bounded(document_id)))
        if not found:
            raise _no_document(document_id)
        source, title, pages, text = found[0]
        if len(text) != end - start:  # SQLite counts no characters behind a NUL
            text = self.get(document_id).text[start:end]
        return Quoted(source, title, tuple(Page(*page) for page in json.loads(pages)), text)

    def info(self, document_id: int) -> DocumentInfo:
        """Raises NotFound."""
        with self._database.read() as connection:
            found = fetch(connection, f"{_INFO} WHERE d.id = ?", (_bounded(document_id),))
        if not found:
            raise _no_document(document_id)
        return _info(found[0])

    def hashes(self, collection: str, prefix: str = "") -> dict[str, tuple[int, str]]:
        """source -> (document id, sha256) of the sources that start with `prefix`."""
        with self._database.read() as connection:
            found = fetch(
                connection,
                "SELECT d.source, d.id, d.sha256 FROM documents d JOIN collections c ON c.id = d.collection_id "
                "WHERE c.name = ?1 AND substr(d.source, 1, ?2) = ?3",
                (collection, len(prefix), prefix),
            )
        return {source: (document_id, sha256) for source, document_id, sha256 in found}

    # --- reading chunks

    def chunks(self, ids: Sequence[int]) -> dict[int, Chunk]:
        """Those of the chunks that exist, by ascending id."""
        with self._database.read() as connection:
            return _chunks(connection, ids)

    def chunks_of(self, collection: str, ids: Sequence[int]) -> dict[int, Chunk]:
        """Those of the chunks that the collection has, by ascending id; the ones read last come from memory."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            if found is None:
                return {}
            read = lambda missing: _chunks(connection, missing, found.id)  # noqa: E731
            return self._recent.of(found.version, ids, read)

    def forget(self) -> None:
        """No chunk stays in memory."""
        self._recent.forget()

    def document_chunks(self, document_id: int) -> list[Chunk]:
        """The chunks of a document in its order; none for an unknown document."""
        with self._database.read() as connection:
            found = fetch(connection, f"{_CHUNK} WHERE k.document_id = ? ORDER BY k.id", (_bounded(document_id),))
        return [Chunk(*row) for row in found]

    def sentences(
        self, collection: str, chunk_ids: Sequence[int], embedder: str | None = None
    ) -> dict[int, SentenceVectors]:
        """The sentences of those of a collection's chunks that exist, with the vectors of that embedder.

        `embedder` is a fingerprint; None stands for the one that serves.
        """
        return vectors.sentences(self._database, collection, chunk_ids, embedder)

    def vector_source(self, collection: str, embedder: str | None = None) -> CollectionVectors:
        """The vectors that an embedder (a fingerprint; None: the one that serves) made of a collection."""
        return CollectionVectors(self._database, collection, embedder)

    def chunk_ids(self, collection: str) -> Ids:
        """Every chunk id of a collection, ascending."""
        query = "SELECT k.id FROM chunks k JOIN collections c ON c.id = k.collection_id WHERE c.name = ? ORDER BY k.id"
        with self._database.read() as connection:
            return _ids([row[0] for row in fetch(connection, query, (collection,))])

    def eligible(self, collection: str, filters_: Filter) -> Ids:
        """The chunk ids, ascending, of documents that pass the filter (see `filters.where`). Raises InvalidFilter."""
        with self._database.read(snapshot=True) as connection:
            return self._eligible.ids(connection, collection, filters_)

    def check(self) -> list[str]:
        """What is inconsistent in the database, one line each; nothing when all is well."""
        with self._database.write() as connection:
            return consistency.problems(connection)

    def list(self, collection: str | None, *, limit: int = 100, after: int = 0) -> list[DocumentInfo]:
        """At most `limit` (1,000) documents with ids above `after`, ascending; of all collections for None."""
        limit, after = max(0, min(limit, MAX_LISTED)), _bounded(after)
        with self._database.read() as connection:
            if collection is None:
                found = fetch(connection, f"{_INFO} WHERE d.id > ? ORDER BY d.id LIMIT ?", (after, limit))
            else:
                query = f"{_INFO} WHERE d.id > ? AND c.name = ? ORDER BY d.id LIMIT ?"
                found = fetch(connection, query, (after, collection, limit))
            return [_info(row) for row in found]


def _chunks(connection: apsw.Connection, ids: Sequence[int], collection_id: int | None = None) -> dict[int, Chunk]:
    """Those that exist, of one collection or of all."""
    query = f"{_CHUNK} WHERE k.id IN (SELECT value FROM carray(?1)) AND (?2 IS NULL OR k.collection_id = ?2)"
    return {row[0]: Chunk(*row) for row in fetch(connection, query, (carray(ids), collection_id))}


def _ids(ids: Iterable[int]) -> Ids:
    return np.fromiter(ids, dtype=np.int64)


def _bounded(number: int) -> int:
    return max(0, min(number, MAX_ID))


def _info(row: tuple[Any, ...]) -> DocumentInfo:
    *plain, metadata, added_at = row
    return DocumentInfo(*(*plain, json.loads(metadata), added_at))


def _no_document(document_id: int) -> NotFound:
    return NotFound(
        f"There is no document {document_id}.",
        code="unknown_document",
        hint="It may have been deleted; `rag-appliance documents list` shows those that exist.",
    )
