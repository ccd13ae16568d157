"""The space that does not serve: made, filled chunk by chunk, switched to, emptied. Every step is one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import numpy as np

from appliance.errors import Conflict
from appliance.faults import reached
from appliance.store import change_rows, collections, rows, spaces
from appliance.store.collections import Collection
from appliance.store.database import Database, carray, fetch
from appliance.store.rows import VectorEntry
from appliance.store.spaces import Space

EMPTIED_CHUNKS = 2_000  # in one transaction, so that other writers wait no longer than some tens of milliseconds


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What an embedder needs of a stored chunk; `sentences` are spans relative to `text`."""

    id: int
    title: str
    section: str
    text: str
    sentences: tuple[tuple[int, int], ...]


class Shadow:
    """The second space of each collection. Thread-safe; raises StorageError, DiskFull, NotFound (collection)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def serving(self, collection: str) -> Space:
        with self._database.read(snapshot=True) as connection:
            return spaces.serving(connection, collections.require(connection, collection))

    def find(self, collection: str) -> Space | None:
        """The space that does not serve, if there is one."""
        with self._database.read(snapshot=True) as connection:
            return spaces.other(connection, collections.require(connection, collection))

    def open(self, collection: str, embedder: str, dimensions: int) -> Space:
        """The space of a model that does not serve, made where it is not there.

        Raises Conflict when the model serves, or another one's vectors are in the way (`empty` removes them).
        """
        with self._database.write() as connection:
            found = collections.require(connection, collection)
            space = spaces.find(connection, found, embedder)
            if embedder == found.embedder or (space is None and spaces.other(connection, found) is not None):
                raise Conflict(f"Collection {collection!r} has no room for the vectors of this model.")
            return space or spaces.create(connection, found.id, embedder, dimensions)

    def missing(self, space: Space, limit: int) -> list[ChunkText]:
        """The next chunks that have no vectors in the space, ascending by id."""
        served = spaces.SENTENCE_TABLES[1 - space.slot]
        query = (
            "SELECT k.id, d.title, k.section, k.text, s.spans FROM chunks k INDEXED BY chunks_by_collection "
            f"JOIN documents d ON d.id = k.document_id JOIN {served} s ON s.chunk_id = k.id "
            "WHERE k.collection_id = ? AND k.id > ? ORDER BY k.id LIMIT ?"
        )
        with self._database.read() as connection:
            found = fetch(connection, query, (space.collection_id, space.filled, limit))
        return [ChunkText(*(*plain, sentence_spans(spans))) for *plain, spans in found]

    def missing_count(self, space: Space) -> int:
        query = "SELECT count(*) FROM chunks WHERE collection_id = ? AND id > ?"
        with self._database.read() as connection:
            return int(connection.execute(query, (space.collection_id, space.filled)).get)

    def fill(self, space: Space, entries: Sequence[VectorEntry], change: str, truncated: int) -> Space:
        """Store the vectors of chunks that `missing` gave, in its order; those deleted since are left out.

        Returns the space as it is now. Raises Conflict when the space is gone.
        """
        with self._database.write() as connection:
            _check_filled(connection, space)
            there = _existing(connection, [entry[0] for entry in entries])
            rows.insert_vectors(connection, space, (entry for entry in entries if entry[0] in there))
            filled = _set_filled(connection, space, entries[-1][0])
            change_rows.progressed(connection, change, truncated)
            reached("model.vectors_written")
        return filled

    def switch(self, collection: str, space: Space, change: str, report: str | None, now: float) -> Collection | None:
        """Let the space serve from this commit on, and keep the one before; the change is a success with it.

        None when chunks without vectors have come up since. Raises Conflict when the space is gone.
        """
        with self._database.write() as connection:
            found = collections.require(connection, collection)
            _check_filled(connection, space)
            if connection.execute(
                "SELECT 1 FROM chunks WHERE collection_id = ? AND id > ? LIMIT 1", (found.id, space.filled)
            ).get:
                return None
            _set_filled(connection, spaces.serving(connection, found), rows.last_chunk_id(connection))
            connection.execute(
                "UPDATE collections SET embedder = ?, dimensions = ? WHERE id = ?",
                (space.embedder, space.dimensions, found.id),
            )
            collections.changed(connection, found.id)
            change_rows.succeed(connection, change, report, now)
            reached("model.switch_written")
            return collections.require(connection, collection)

    def empty(self, collection: str) -> Space | None:
        """Remove the vectors that do not serve, some at a time from the newest down, then their space.

        Returns what was removed; None when there was none.
        """
        space = removed = self.find(collection)
        while space is not None:
            with self._database.write() as connection:
                _check_filled(connection, space)
                space = _empty_some(connection, space)
            reached("model.old_emptied")
        return removed


def sentence_spans(blob: bytes) -> tuple[tuple[int, int], ...]:
    """The stored spans of a chunk's sentences."""
    return tuple((int(start), int(end)) for start, end in np.frombuffer(blob, dtype="<i4").reshape(-1, 2))


def _empty_some(connection: apsw.Connection, space: Space) -> Space | None:
    """The space with less in it, None once it is gone."""
    ids = fetch(
        connection,
        "SELECT id FROM chunks INDEXED BY chunks_by_collection WHERE collection_id = ? AND id <= ? "
        "ORDER BY id DESC LIMIT ?",
        (space.collection_id, space.filled, EMPTIED_CHUNKS),
    )
    for table in (space.vectors, space.sentences):
        connection.executemany(f"DELETE FROM {table} WHERE chunk_id = ?", ids)
    if len(ids) == EMPTIED_CHUNKS:
        return _set_filled(connection, space, ids[-1][0] - 1)
    connection.execute("DELETE FROM spaces WHERE collection_id = ? AND slot = ?", (space.collection_id, space.slot))
    return None


def _check_filled(connection: apsw.Connection, space: Space) -> None:
    """Raises Conflict when the space is gone, or another hand has changed it."""
    if space not in spaces.of(connection, space.collection_id):
        raise Conflict(
            "The vectors of this model were removed or changed meanwhile.",
            code="model_change_overtaken",
            hint="Start the change again; `models changes` shows what was done.",
        )


def _set_filled(connection: apsw.Connection, space: Space, filled: int) -> Space:
    connection.execute(
        "UPDATE spaces SET filled = ? WHERE collection_id = ? AND slot = ?", (filled, space.collection_id, space.slot)
    )
    return Space(space.collection_id, space.slot, space.embedder, space.dimensions, filled)


def _existing(connection: apsw.Connection, ids: Sequence[int]) -> set[int]:
    query = "SELECT id FROM chunks WHERE id IN (SELECT value FROM carray(?))"
    return {row[0] for row in fetch(connection, query, (carray(ids),))}
