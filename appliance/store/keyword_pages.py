"""What the pages of a full-text index really hold: its terms as bytes, whether or not a search still finds them.

FTS5 keeps a sorted list of terms a segment, cut into leaf pages; within a page a term leaves out what it shares with
the one before, so no scan of the file finds it. Format: comment at the head of fts5_index.c in SQLite.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw

from appliance.store.database import fetch

FIRST_LEAF = 1 << 37  # rowid of a page: segment (from 1) << 37, a bit for doclist indexes << 36, height << 31, number
DOCLIST_INDEX = 1 << 36
FIRST_TOMBSTONE = 1 << 53  # tombstone pages count their segments from 65536
MAIN = b"0"  # every term begins with the number of its index; ours have no prefix indexes
BATCH = 256
POSTINGS = 1_000  # of a term that are looked up; one that many others have tells nothing


def tombstones(connection: apsw.Connection, table: str) -> int:
    """How many pages say that rows of other pages are deleted: those pages still hold the rows' terms."""
    return int(connection.execute(f"SELECT count(*) FROM {table}_data WHERE id >= ?", (FIRST_TOMBSTONE,)).get)


def terms(connection: apsw.Connection, table: str) -> Iterator[bytes]:
    """Every term on every leaf page of `table`, as UTF-8; one that several segments hold comes several times."""
    after = FIRST_LEAF - 1
    query = f"SELECT id, block FROM {table}_data WHERE id > ? AND id < ? AND id & ? = 0 ORDER BY id LIMIT ?"
    while pages := fetch(connection, query, (after, FIRST_TOMBSTONE, DOCLIST_INDEX, BATCH)):
        for _, block in pages:
            yield from _page_terms(block)
        after = pages[-1][0]


def _page_terms(block: bytes) -> Iterator[bytes]:
    """The footer of a page has the offset of each term, the first absolute, the others from the one before."""
    position, offset = int.from_bytes(block[2:4], "big"), 0
    term = b""
    while position < len(block):
        step, position = _varint(block, position)
        shared, start = _varint(block, offset + step) if offset else (0, step)
        offset += step
        length, start = _varint(block, start)
        term = term[:shared] + block[start : start + length]
        yield term.removeprefix(MAIN)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it): big-endian groups of seven bits, a ninth byte whole."""
    value = 0
    for count in range(9):
        byte = data[position + count]
        if count == 8:
            return value << 8 | byte, position + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + count + 1
    raise AssertionError("unreachable")


def orphans(path: Path, table: str, suspects: Iterable[str]) -> int:
    """How many of the terms `suspects` are in the index of `table` although no stored chunk has them."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute(f"CREATE VIRTUAL TABLE temp.postings USING fts5vocab(main, {table}, instance)")
        return sum(_is_orphan(connection, term) for term in suspects)
    finally:
        connection.close()


def _is_orphan(connection: apsw.Connection, term: str) -> bool:
    """No posting at all (its rows are only marked as deleted), or one of a chunk that is not there."""
    found = fetch(connection, "SELECT doc FROM temp.postings WHERE term = ? LIMIT ?", (term, POSTINGS))
    known = "SELECT 1 FROM chunks WHERE id = ?"
    return not found or any(connection.execute(known, chunk).get is None for chunk in set(found))
