"""Collections as they are handed to another appliance: which documents there are, and each with all its rows."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import apsw
import numpy as np

from appliance.store import collections, spaces
from appliance.store.collections import Collection
from appliance.store.database import Database, fetch
from appliance.types import Ids, Metadata

DIGEST = 16  # bytes of BLAKE2b that tell one version of a document from another

# Every column a listing looks at lies before the texts of its row, so no overflow page is read.
_LISTING = (
    "SELECT d.source, d.sha256, d.title, d.media_type, d.characters, d.metadata, count(k.id), "
    'coalesce(sum(k.start), 0), coalesce(sum(k."end"), 0), coalesce(sum(k.tokens), 0) '
    "FROM documents d LEFT JOIN chunks k ON k.document_id = d.id WHERE d.collection_id = ? GROUP BY d.id"
)


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """A document as stored. `chunks` are (section, page, start, end, tokens); the arrays belong to them in order:
    `vectors` float16[n][dimensions], and for each chunk int32 spans and int8 vectors of its sentences.
    """

    source: str
    sha256: str
    title: str
    media_type: str
    text: str
    pages: list[tuple[int, int, int]]
    metadata: Metadata
    chunks: list[tuple[str, int | None, int, int, int]]
    vectors: bytes
    spans: list[bytes]
    sentences: list[bytes]


@contextlib.contextmanager
def reading(database: Database) -> Iterator[apsw.Connection]:
    """One state of the database for as long as it takes; commits do not wait for it."""
    database.snapshots += 1
    try:
        with database.read(snapshot=True) as connection:
            yield connection
    finally:
        database.snapshots -= 1


def listing(connection: apsw.Connection, collection_id: int) -> dict[str, bytes]:
    """source -> digest of what the document is and how it was cut. The same on every host that holds the same."""
    found = {}
    for source, *values in connection.execute(_LISTING, (collection_id,)):
        values[4] = json.dumps(json.loads(str(values[4])), sort_keys=True)
        found[str(source)] = hashlib.blake2b(json.dumps([source, *values]).encode(), digest_size=DIGEST).digest()
    return found


def chunk_counts(connection: apsw.Connection, collection_id: int) -> dict[str, int]:
    """source -> chunks."""
    query = "SELECT source, chunks FROM documents WHERE collection_id = ?"
    return dict(fetch(connection, query, (collection_id,)))


def chunk_ids(connection: apsw.Connection, collection_id: int) -> Ids:
    """All of them, by source and then as they stand in their document."""
    query = (
        "SELECT k.id FROM documents d JOIN chunks k ON k.document_id = d.id WHERE d.collection_id = ? "
        "ORDER BY d.source, k.id"
    )
    return np.array([number for (number,) in connection.execute(query, (collection_id,))], dtype=np.int64)


def state_of(listed: Mapping[str, bytes]) -> str:
    """One word for all documents of a listing, whatever their order and ids."""
    hashed = hashlib.blake2b(digest_size=2 * DIGEST)
    for digest in sorted(listed.values()):
        hashed.update(digest)
    return hashed.hexdigest()


def whole(connection: apsw.Connection, collection: Collection, source: str) -> WholeDocument:
    """A document that is there, with the vectors of the model that serves."""
    space = spaces.serving(connection, collection)
    row = fetch(
        connection,
        "SELECT id, sha256, title, media_type, text, pages, metadata FROM documents "
        "WHERE collection_id = ? AND source = ?",
        (collection.id, source),
    )[0]
    chunks = fetch(
        connection,
        f'SELECT k.section, k.page, k.start, k."end", k.tokens, v.vector, s.spans, s.vectors FROM chunks k '
        f"JOIN {space.vectors} v ON v.chunk_id = k.id JOIN {space.sentences} s ON s.chunk_id = k.id "
        "WHERE k.document_id = ? ORDER BY k.id",
        (row[0],),
    )
    _, sha256, title, media_type, text, pages, metadata = row
    return WholeDocument(
        *(source, sha256, title, media_type, text),
        pages=[(number, start, end) for number, start, end in json.loads(pages)],
        metadata=json.loads(metadata),
        chunks=[(section, page, start, end, tokens) for section, page, start, end, tokens, *_ in chunks],
        vectors=b"".join(chunk[5] for chunk in chunks),
        spans=[chunk[6] for chunk in chunks],
        sentences=[chunk[7] for chunk in chunks],
    )


def forget_files(connection: apsw.Connection, collection: str, source: str) -> None:
    """What ingestion knew of a file is true no more: the document came from elsewhere, or went."""
    connection.execute("DELETE FROM ingested_files WHERE collection = ? AND source = ?", (collection, source))


def document_id(connection: apsw.Connection, collection: Collection, source: str) -> int | None:
    found: int | None = connection.execute(
        "SELECT id FROM documents WHERE collection_id = ? AND source = ?", (collection.id, source)
    ).get
    return found


def make(connection: apsw.Connection, name: str, embedder: str, dimensions: int) -> Collection:
    """The collection of this name, made when it is not there, or anew when it is empty and of another model."""
    found = collections.find(connection, name)
    if found is not None and found.embedder != embedder and not found.documents:
        collections.drop(connection, found.id)
        found = None
    if found is None:
        collections.check_name(name)
        collections.create(connection, name, embedder, dimensions)
    return collections.require(connection, name)


def joined(parts: list[Ids]) -> Ids:
    return np.sort(np.concatenate(parts)) if parts else np.array([], dtype=np.int64)
