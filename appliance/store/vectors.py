"""Reads the stored vectors of chunks and of their sentences, as one model made them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from appliance.store import collections, rows, spaces
from appliance.store.database import MAX_ID, Database, carray, fetch
from appliance.types import Ids, Matrix, SentenceVectors

BATCH = 4096


@dataclass(frozen=True, slots=True)
class CollectionVectors:
    """The vectors of one collection, as an index needs them to build itself.

    `embedder` is the fingerprint of the model that made them; None stands for the one that serves when it is read.
    """

    database: Database = field(repr=False)
    collection: str
    embedder: str | None = None

    def ids(self) -> Ids:
        """Every chunk id that has a vector of this model, ascending."""
        with self.database.read(snapshot=True) as connection:
            found = collections.find(connection, self.collection)
            space = spaces.find(connection, found, self.embedder) if found else None
            if found is None or space is None:
                return _ids([])
            last = MAX_ID if space.embedder == found.embedder else space.filled
            query = "SELECT group_concat(id, ' ') FROM chunks WHERE collection_id = ? AND id <= ?"
            text = connection.execute(query, (found.id, last)).get or ""  # rows one by one take four times as long
        return np.sort(np.fromstring(text, dtype=np.int64, sep=" "))

    def vectors(self, after: int, batch: int = BATCH) -> Iterator[tuple[Ids, Matrix]]:
        """Chunk ids above `after` with their vectors, ascending. No read transaction is held between batches."""
        while True:
            with self.database.read(snapshot=True) as connection:
                found = collections.find(connection, self.collection)
                space = spaces.find(connection, found, self.embedder) if found else None
                if found is None or space is None:
                    return
                query = (
                    "SELECT v.chunk_id, v.vector FROM chunks k INDEXED BY chunks_by_collection "
                    f"JOIN {space.vectors} v ON v.chunk_id = k.id WHERE k.collection_id = ? AND k.id > ? "
                    "ORDER BY k.id LIMIT ?"
                )
                pairs = fetch(connection, query, (found.id, after, batch))
            if not pairs:
                return
            ids = _ids(pairs)
            yield ids, rows.read_vectors([blob for _, blob in pairs], space.dimensions)
            after = int(ids[-1])

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the chunk ids that exist, ascending, with their vectors (n, dimensions)."""
        with self.database.read(snapshot=True) as connection:
            found = collections.find(connection, self.collection)
            space = spaces.find(connection, found, self.embedder) if found else None
            if space is None:
                return _ids([]), rows.read_vectors([], 0)
            query = (
                f"SELECT chunk_id, vector FROM {space.vectors} WHERE chunk_id IN (SELECT value FROM carray(?)) "
                "ORDER BY chunk_id"
            )
            pairs = fetch(connection, query, (carray(ids.tolist()),))
        return _ids(pairs), rows.read_vectors([blob for _, blob in pairs], space.dimensions)


def sentences(
    database: Database, collection: str, chunk_ids: Sequence[int], embedder: str | None = None
) -> dict[int, SentenceVectors]:
    """The sentences of those of a collection's chunks that exist, as the model of that fingerprint sees them.

    None stands for the model that serves. Raises StorageError.
    """
    with database.read(snapshot=True) as connection:
        found = collections.find(connection, collection)
        space = spaces.find(connection, found, embedder) if found else None
        if space is None:
            return {}
        query = (
            f"SELECT chunk_id, spans, vectors FROM {space.sentences} WHERE chunk_id IN (SELECT value FROM carray(?))"
        )
        stored = fetch(connection, query, (carray(chunk_ids),))
    read = rows.read_sentences([spans for _, spans, _ in stored], [vectors for *_, vectors in stored])
    return {chunk_id: sentences for (chunk_id, *_), sentences in zip(stored, read, strict=True)}


def _ids(found: Sequence[tuple[int, ...]]) -> Ids:
    return np.fromiter((row[0] for row in found), dtype=np.int64)
