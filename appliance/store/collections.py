"""Collections: a name, the embedder that made its vectors, its counts and a version that never comes back."""

import re
from dataclasses import dataclass

import apsw

from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.store import fulltext, posting_rows, spaces
from appliance.store.database import fetch
from appliance.store.reader import once

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_COLUMNS = "id, name, version, embedder, dimensions, documents, chunks"


@dataclass(frozen=True, slots=True)
class Collection:
    """A stored collection. `version` grows with every commit that changes it; `embedder` is the model's fingerprint."""

    id: int
    name: str
    version: int
    embedder: str
    dimensions: int
    documents: int
    chunks: int


def find(connection: apsw.Connection, name: str) -> Collection | None:
    query = f"SELECT {_COLUMNS} FROM collections WHERE name = ?"
    read = lambda: [Collection(*row) for row in fetch(connection, query, (name,))]  # noqa: E731
    return next(iter(once(connection, ("collection", name), read)), None)


def find_all(connection: apsw.Connection) -> list[Collection]:
    rows = fetch(connection, f"SELECT {_COLUMNS} FROM collections ORDER BY name")
    return [Collection(*row) for row in rows]


def require(connection: apsw.Connection, name: str) -> Collection:
    """Raises NotFound."""
    found = find(connection, name)
    if found is None:
        raise NotFound(
            f"There is no collection {name!r}.",
            code="unknown_collection",
            hint="Ingest documents into it first, or choose one of the collections that exist.",
        )
    return found


def check_name(name: str) -> None:
    """Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:80]!r} cannot be the name of a collection.",
            code="invalid_collection_name",
            hint="Use 1 to 63 small letters, digits, - and _, beginning with a letter or digit.",
        )


def check_embedder(collection: Collection, embedder: str, dimensions: int) -> None:
    """Raises Conflict when the collection's vectors come from another model."""
    if (collection.embedder, collection.dimensions) != (embedder, dimensions):
        raise Conflict(
            f"Collection {collection.name!r} was made with another embedding model "
            f"({collection.embedder}, {collection.dimensions} dimensions; now {embedder}, {dimensions}).",
            code="embedder_mismatch",
            hint="Use the model it was made with, or drop the collection and ingest its documents again.",
        )


def create(connection: apsw.Connection, name: str, embedder: str, dimensions: int) -> None:
    """Insert the row and its space, and make its full-text tables."""
    connection.execute(
        "INSERT INTO collections (name, version, embedder, dimensions) VALUES (?, ?, ?, ?)",
        (name, next_version(connection), embedder, dimensions),
    )
    collection_id = connection.last_insert_rowid()
    spaces.create(connection, collection_id, embedder, dimensions)
    fulltext.create(connection, collection_id)


def changed(connection: apsw.Connection, collection_id: int) -> int:
    """Give the collection a new version, which is returned. Its counts are kept by `rows`."""
    version = next_version(connection)
    connection.execute("UPDATE collections SET version = ? WHERE id = ?", (version, collection_id))
    return version


def count(connection: apsw.Connection, collection_id: int, *, documents: int, chunks: int) -> None:
    """Add to the collection's counts."""
    connection.execute(
        "UPDATE collections SET documents = documents + ?, chunks = chunks + ? WHERE id = ?",
        (documents, chunks, collection_id),
    )


def next_version(connection: apsw.Connection) -> int:
    return int(connection.execute("UPDATE changes SET counter = counter + 1 RETURNING counter").get)


def drop(connection: apsw.Connection, collection_id: int) -> None:
    """Remove the collection and everything in it."""
    spaces.drop(connection, collection_id)
    posting_rows.drop(connection, collection_id)
    documents = "(SELECT id FROM documents WHERE collection_id = ?1)"
    for statement in (
        "DELETE FROM model_changes WHERE collection = (SELECT name FROM collections WHERE id = ?1)",
        f"DELETE FROM metadata WHERE document_id IN {documents}",
        "DELETE FROM calibrations WHERE collection_id = ?1",
        "DELETE FROM flags WHERE collection = (SELECT name FROM collections WHERE id = ?1)",
        "DELETE FROM chunks WHERE collection_id = ?1",
        "DELETE FROM documents WHERE collection_id = ?1",
        "DELETE FROM collections WHERE id = ?1",
    ):
        connection.execute(statement, (collection_id,))
    fulltext.drop(connection, collection_id)
    next_version(connection)
