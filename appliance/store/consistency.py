"""Looks for what must never be: half a document, rows without their counterpart, offsets that cut other text."""

import json

import apsw

from appliance.store import collections, fulltext, posting_rows, spaces
from appliance.store.collections import Collection
from appliance.store.database import MAX_ID, fetch
from appliance.store.spaces import SENTENCE_TABLES, VECTOR_TABLES, Space

MAX_PROBLEMS = 100

_STATEMENTS = (
    (
        "document {} has another number of chunks than it says",
        "SELECT id FROM documents d WHERE chunks != (SELECT count(*) FROM chunks WHERE document_id = d.id)",
    ),
    (
        "the chunks of document {} have ids that do not follow each other",
        "SELECT document_id FROM chunks GROUP BY document_id HAVING max(id) - min(id) + 1 != count(*)",
    ),
    (
        "chunk {} is in another collection than its document",
        "SELECT k.id FROM chunks k JOIN documents d ON d.id = k.document_id WHERE k.collection_id != d.collection_id",
    ),
)


def problems(connection: apsw.Connection) -> list[str]:
    """Problems in words, at most MAX_PROBLEMS. Needs a connection that may write (FTS5 checks itself by a command)."""
    found = [f"integrity: {row[0]}" for row in fetch(connection, "PRAGMA integrity_check(20)") if row[0] != "ok"]
    found += [f"foreign key: {row}" for row in fetch(connection, "PRAGMA foreign_key_check")[:20]]
    for text, query in _STATEMENTS:
        found += [text.format(row[0]) for row in fetch(connection, f"{query} LIMIT 20")]
    for collection in collections.find_all(connection):
        found += [
            f"collection {collection.name}: {problem}" for problem in _collection_problems(connection, collection)
        ]
    return found[:MAX_PROBLEMS]


def _collection_problems(connection: apsw.Connection, collection: Collection) -> list[str]:
    found: list[str] = []
    for column, table in (("documents", "documents"), ("chunks", "chunks")):
        count = connection.execute(f"SELECT count(*) FROM {table} WHERE collection_id = ?", (collection.id,)).get
        if count != getattr(collection, column):
            found.append(f"counts {getattr(collection, column)} {column} but has {count}")
    table = fulltext.table(collection.id)
    chunks = "SELECT id FROM chunks WHERE collection_id = ?"
    for text, query in (
        ("{} chunks are not in the full-text index", f"{chunks} EXCEPT SELECT id FROM {table}_docsize"),
        ("{} full-text rows belong to no chunk", f"SELECT id FROM {table}_docsize EXCEPT {chunks}"),
    ):
        count = connection.execute(f"SELECT count(*) FROM ({query})", (collection.id,)).get
        if count:
            found.append(text.format(count))
    try:
        connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")
    except apsw.CorruptError:
        found.append("the full-text index is damaged")
    for space in spaces.of(connection, collection.id):
        found += _space_problems(connection, space, space.embedder == collection.embedder)
    found += posting_rows.problems(connection, collection.id)
    return found + _orphans(connection, collection) + _offset_problems(connection, collection)


def _space_problems(connection: apsw.Connection, space: Space, serves: bool) -> list[str]:
    """Every chunk has both kinds of vectors as far as the space is filled, and none of another size."""
    last = MAX_ID if serves else space.filled
    chunks = f"SELECT id FROM chunks WHERE collection_id = {space.collection_id}"
    queries = (
        ("chunk {} has no vector", f"{chunks} AND id <= {last} AND id NOT IN (SELECT chunk_id FROM {space.vectors})"),
        (
            "chunk {} has no sentences",
            f"{chunks} AND id <= {last} AND id NOT IN (SELECT chunk_id FROM {space.sentences})",
        ),
        (
            "the vector of chunk {} has the wrong size",
            f"SELECT chunk_id FROM {space.vectors} WHERE chunk_id IN ({chunks}) "
            f"AND length(vector) != {2 * space.dimensions}",
        ),
    )
    where = "" if serves else f" (model {space.embedder}, which does not serve)"
    return [text.format(row[0]) + where for text, query in queries for row in fetch(connection, f"{query} LIMIT 20")]


def _orphans(connection: apsw.Connection, collection: Collection) -> list[str]:
    """Vectors in a slot that the collection does not own."""
    owned = {space.slot for space in spaces.of(connection, collection.id)}
    tables = [(t, slot) for kind in (VECTOR_TABLES, SENTENCE_TABLES) for slot, t in enumerate(kind)]
    found = []
    for table in (table for table, slot in tables if slot not in owned):
        query = f"SELECT count(*) FROM {table} v JOIN chunks k ON k.id = v.chunk_id WHERE k.collection_id = ?"
        if count := connection.execute(query, (collection.id,)).get:
            found.append(f"{count} rows in {table} belong to no model")
    return found


def _offset_problems(connection: apsw.Connection, collection: Collection) -> list[str]:
    """One document at a time, so that memory stays at the size of the largest."""
    found: list[str] = []
    documents = fetch(connection, "SELECT id FROM documents WHERE collection_id = ? ORDER BY id", (collection.id,))
    for (document_id,) in documents:
        text, pages = fetch(connection, "SELECT text, pages FROM documents WHERE id = ?", (document_id,))[0]
        spans = fetch(connection, 'SELECT start, "end", text FROM chunks WHERE document_id = ?', (document_id,))
        if any(text[start:end] != chunk for start, end, chunk in spans):
            found.append(f"document {document_id} has a chunk that is not the text at its offsets")
        if any(not 0 <= start <= end <= len(text) for _, start, end in json.loads(pages)):
            found.append(f"document {document_id} has a page outside its text")
    return found
