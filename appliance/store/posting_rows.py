"""Rows of posting segments: a range of chunk ids each, and what was deleted in it. In the caller's transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from appliance.store import bm25
from appliance.store.database import MAX_ID, fetch
from appliance.store.inverted import Inverted
from appliance.store.reader import once

_CHUNKS = (
    "SELECT k.id, d.title, d.source, k.section, k.text FROM chunks k INDEXED BY chunks_by_collection "
    "JOIN documents d ON d.id = k.document_id WHERE k.collection_id = ? AND k.id > ? AND k.id <= ? "
    "ORDER BY k.id LIMIT ?"
)
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM chunks WHERE collection_id = ? AND id > ? AND id <= ? LIMIT ?)"


@dataclass(frozen=True, slots=True)
class Range:
    """A segment's chunks: those with `after` < id <= `last`; `rows` of them when it was made."""

    segment: int
    after: int
    last: int
    rows: int


def add(connection: apsw.Connection, into: Inverted, collection_id: int, after: int, last: int, limit: int) -> None:
    """The first `limit` chunks of the collection with after < id <= last."""
    columns = bm25.columns_reader(connection)
    for chunk_id, *texts in fetch(connection, _CHUNKS, (collection_id, after, last, limit)):
        into.add(chunk_id, columns(*texts))


def ranges(connection: apsw.Connection, collection_id: int) -> Sequence[Range]:
    """Ascending, without overlap; there may be gaps."""
    query = "SELECT id, after, last, length(lengths) / 4 FROM posting_segments WHERE collection_id = ? ORDER BY after"
    read = lambda: [Range(*row) for row in fetch(connection, query, (collection_id,))]  # noqa: E731
    return once(connection, ("ranges", collection_id), read)


def end(found: Sequence[Range]) -> int:
    """Up to which chunk id the segments hold everything."""
    at = 0
    for held in found:
        if held.after > at:
            break
        at = held.last
    return at


def count(connection: apsw.Connection, collection_id: int, after: int, last: int, limit: int) -> int:
    """How many chunks of the collection have after < id <= last, up to `limit`."""
    return int(connection.execute(_COUNT, (collection_id, after, last, limit)).get)


def note_deleted(connection: apsw.Connection, collection_id: int, chunk_ids: Sequence[int]) -> None:
    """In the transaction that deletes the chunks."""
    if connection.execute("SELECT 1 FROM posting_segments WHERE collection_id = ?", (collection_id,)).get:
        connection.executemany(
            "INSERT INTO posting_deletions VALUES (?, ?)", [(collection_id, chunk_id) for chunk_id in chunk_ids]
        )


def drop(connection: apsw.Connection, collection_id: int) -> None:
    """All segments of a collection."""
    drop_segments(connection, [held.segment for held in ranges(connection, collection_id)])
    connection.execute("DELETE FROM posting_deletions WHERE collection_id = ?", (collection_id,))


def problems(connection: apsw.Connection, collection_id: int) -> Iterator[str]:
    """Segments whose rows are not the chunks of their range."""
    for held in ranges(connection, collection_id):
        present = count(connection, collection_id, held.after, held.last, MAX_ID)
        if present + deleted(connection, held, collection_id) != held.rows:
            yield f"posting segment {held.segment} does not hold the chunks of its range"


def deleted(connection: apsw.Connection, held: Range, collection_id: int) -> int:
    """Chunks of a segment that are gone since it was made."""
    query = "SELECT count(*) FROM posting_deletions WHERE collection_id = ? AND chunk_id > ? AND chunk_id <= ?"
    return int(connection.execute(query, (collection_id, held.after, held.last)).get)


def drop_segments(connection: apsw.Connection, ids: Sequence[int]) -> None:
    for segment in ids:
        connection.execute("DELETE FROM posting_lists WHERE segment = ?", (segment,))
        connection.execute("DELETE FROM posting_segments WHERE id = ?", (segment,))
