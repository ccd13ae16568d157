"""Spaces: the vectors that one model made for one collection. One serves; another is being filled, or kept to go back.

A space owns one of two slots, and a slot is a pair of tables. Each row in them belongs to a chunk and goes with it,
whichever space serves. Every function runs inside the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from appliance.store.database import fetch
from appliance.store.reader import once

if TYPE_CHECKING:
    from appliance.store.collections import Collection

VECTOR_TABLES = ("vectors", "vectors_b")
SENTENCE_TABLES = ("sentences", "sentences_b")
TABLES = (*VECTOR_TABLES, *SENTENCE_TABLES)  # everything that holds a vector, by the column chunk_id


@dataclass(frozen=True, slots=True)
class Space:
    """`filled`: every chunk up to this id has its vectors; kept only while the space does not serve."""

    collection_id: int
    slot: int
    embedder: str
    dimensions: int
    filled: int

    @property
    def vectors(self) -> str:
        return VECTOR_TABLES[self.slot]

    @property
    def sentences(self) -> str:
        return SENTENCE_TABLES[self.slot]


def of(connection: apsw.Connection, collection_id: int) -> Sequence[Space]:
    query = "SELECT collection_id, slot, embedder, dimensions, filled FROM spaces WHERE collection_id = ? ORDER BY slot"
    read = lambda: [Space(*row) for row in fetch(connection, query, (collection_id,))]  # noqa: E731
    return once(connection, ("spaces", collection_id), read)


def find(connection: apsw.Connection, collection: "Collection", embedder: str | None = None) -> Space | None:
    """The space of a model, by default of the one that serves."""
    wanted = embedder or collection.embedder
    return next((space for space in of(connection, collection.id) if space.embedder == wanted), None)


def serving(connection: apsw.Connection, collection: "Collection") -> Space:
    found = find(connection, collection)
    assert found is not None, f"collection {collection.id} without its space"  # made with it, in one transaction
    return found


def other(connection: apsw.Connection, collection: "Collection") -> Space | None:
    """The space that does not serve."""
    return next((space for space in of(connection, collection.id) if space.embedder != collection.embedder), None)


def create(connection: apsw.Connection, collection_id: int, embedder: str, dimensions: int) -> Space:
    """An empty space in the free slot."""
    slot = 1 if any(space.slot == 0 for space in of(connection, collection_id)) else 0
    connection.execute("INSERT INTO spaces VALUES (?, ?, ?, ?, 0)", (collection_id, slot, embedder, dimensions))
    return Space(collection_id, slot, embedder, dimensions, 0)


def drop(connection: apsw.Connection, collection_id: int) -> None:
    """Remove all vectors of a collection."""
    for table in TABLES:
        connection.execute(
            f"DELETE FROM {table} WHERE chunk_id IN (SELECT id FROM chunks WHERE collection_id = ?)", (collection_id,)
        )
    connection.execute("DELETE FROM spaces WHERE collection_id = ?", (collection_id,))
