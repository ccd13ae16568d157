"""Everything stored of documents as it lies in the rows: for erasing it, and for telling what others hold as well."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import apsw

from appliance.store import fulltext
from appliance.store.database import Database, fetch
from appliance.store.spaces import SENTENCE_TABLES, TABLES, VECTOR_TABLES

BATCH = 64


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """Its float16 vector and its int8 sentence vectors as bytes, of each model that made some."""

    section: str
    text: str
    vectors: tuple[bytes, ...]
    sentences: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's rows; `metadata` is JSON. Its chunks are read when they are asked for."""

    connection: apsw.Connection = field(repr=False)
    id: int
    collection: str
    source: str
    title: str
    sha256: str
    metadata: str
    added_at: float
    text: str

    def chunks(self) -> Iterator[StoredChunk]:
        """In the order of the document."""
        slots = len(VECTOR_TABLES)
        after = 0
        while found := fetch(self.connection, _CHUNKS, (self.id, after, BATCH)):
            for _, section, text, *blobs in found:
                vectors, sentences = blobs[:slots], blobs[slots:]
                yield StoredChunk(section, text, tuple(filter(None, vectors)), tuple(filter(None, sentences)))
            after = found[-1][0]

    def terms(self) -> Iterator[str]:
        """What the keyword index keeps of it: the terms of title, sections and texts."""
        tokens = fulltext.document_terms(self.connection)
        yield from tokens(self.title)
        sections = set()
        for chunk in self.chunks():
            if chunk.section not in sections:
                sections.add(chunk.section)
                yield from tokens(chunk.section)
            yield from tokens(chunk.text)


_CHUNKS = (
    "SELECT k.id, k.section, k.text, "
    + ", ".join([f"{table}.vector" for table in VECTOR_TABLES] + [f"{table}.vectors" for table in SENTENCE_TABLES])
    + " FROM chunks k "
    + " ".join(f"LEFT JOIN {table} ON {table}.chunk_id = k.id" for table in TABLES)
    + " WHERE k.document_id = ? AND k.id > ? ORDER BY k.id LIMIT ?"
)
_DOCUMENT = (
    "SELECT d.id, c.name, d.source, d.title, d.sha256, d.metadata, d.added_at, d.text FROM documents d "
    "JOIN collections c ON c.id = d.collection_id"
)


def stored_document(connection: apsw.Connection, document_id: int) -> StoredDocument:
    """The document, which must exist."""
    return StoredDocument(connection, *fetch(connection, f"{_DOCUMENT} WHERE d.id = ?", (document_id,))[0])


def stored_documents(database: Database) -> Iterator[StoredDocument]:
    """All documents, one in memory at a time; no read transaction is held in between."""
    after = 0
    while True:
        with database.read() as connection:
            found = fetch(connection, f"{_DOCUMENT} WHERE d.id > ? ORDER BY d.id LIMIT 1", (after,))
            if not found:
                return
            yield StoredDocument(connection, *found[0])
        after = found[0][0]
