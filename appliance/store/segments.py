"""Segments of postings: made from the chunks of a collection, a range of chunk ids each, and dropped at will."""

from collections.abc import Callable
from dataclasses import dataclass

import apsw

from appliance.store import collections, posting_rows
from appliance.store.collections import Collection
from appliance.store.compaction import secure_delete
from appliance.store.database import MAX_ID, Database
from appliance.store.inverted import MOST_ROWS, Inverted

LEAST_CHUNKS = 2_000  # of a collection that gets segments; below, FTS5 is as fast
FRESH_CHUNKS = 10_000  # behind the last segment, before it is made again with them; or, of a smaller segment,
FRESH_SHARE = 0.5  # of its rows: after a start they are tokenised by the first question
DELETED_SHARE = 0.2  # of a segment's rows, before it is made again without them
READ_ROWS = 2_000  # between two looks at whether to stop


@dataclass(frozen=True, slots=True)
class _Plan:
    """A segment to make, in place of `replaced`; an `end` that is given is where it ends, whatever it holds."""

    after: int
    end: int | None
    replaced: tuple[int, ...] = ()


class Segments:
    """The segments of the collections of one database. Thread-safe; raises StorageError, DiskFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make_next(self, collection: str, check: Callable[[], None] = lambda: None) -> bool:
        """Make one segment where one is missing, or holds too little or too much; whether there may be more to do.

        `check` is called now and then and may raise, which leaves everything as it was.
        """
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            plan = _next(connection, found) if found else None
        if found is None or plan is None:
            return False
        self._make(found.id, plan, check)
        return True

    def remake(self, collection: str, check: Callable[[], None] = lambda: None) -> None:
        """Make every segment anew, one after the other; the old one serves meanwhile."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            held = [(found.id, one) for one in posting_rows.ranges(connection, found.id)] if found else []
        for collection_id, one in held:
            self._make(collection_id, _Plan(one.after, one.last, (one.segment,)), check)

    def drop_deleted(self, collection: str) -> None:
        """Drop, overwriting them, the segments that hold tokens of deleted chunks; they are made again without."""
        with self._database.write() as connection, secure_delete(connection):
            found = collections.find(connection, collection)
            for held in posting_rows.ranges(connection, found.id) if found else ():
                if found and posting_rows.deleted(connection, held, found.id):
                    posting_rows.drop_segments(connection, [held.segment])

    def _make(self, collection_id: int, plan: _Plan, check: Callable[[], None]) -> None:
        inverted = self._inverted(collection_id, plan, check)
        with self._database.write() as connection:
            _insert(connection, collection_id, plan, inverted)

    def _inverted(self, collection_id: int, plan: _Plan, check: Callable[[], None]) -> Inverted:
        """In short reads, so that the log is not held; what changes meanwhile is seen when it is written."""
        inverted, at = Inverted(), plan.after
        while len(inverted) < MOST_ROWS:
            check()
            with self._database.read() as connection:
                before = len(inverted)
                last = MAX_ID if plan.end is None else plan.end
                posting_rows.add(connection, inverted, collection_id, at, last, min(READ_ROWS, MOST_ROWS - before))
            if len(inverted) == before:
                break
            at = inverted.last
        return inverted


def _next(connection: apsw.Connection, collection: Collection) -> _Plan | None:
    if collection.chunks < LEAST_CHUNKS:
        return None
    at, last = 0, None
    for held in posting_rows.ranges(connection, collection.id):
        if held.after > at:
            return _Plan(at, held.after)
        if posting_rows.deleted(connection, held, collection.id) > DELETED_SHARE * held.rows:
            return _Plan(held.after, held.last, (held.segment,))
        at, last = held.last, held
    fresh = posting_rows.count(connection, collection.id, at, MAX_ID, FRESH_CHUNKS)
    if last is not None and fresh < min(FRESH_CHUNKS, max(LEAST_CHUNKS, FRESH_SHARE * last.rows)):
        return None
    if last is not None and last.rows < MOST_ROWS:
        return _Plan(last.after, None, (last.segment,))
    return _Plan(at, None)


def _insert(connection: apsw.Connection, collection_id: int, plan: _Plan, inverted: Inverted) -> None:
    """Only if all rows are chunks still: what was deleted while it was made stays out, and it is made anew."""
    whole = len(inverted) == MOST_ROWS or plan.end is None
    last = inverted.last if whole and len(inverted) else plan.end or plan.after
    in_the_way = [
        held.segment
        for held in posting_rows.ranges(connection, collection_id)
        if held.last > plan.after and held.after < last
    ]
    same = posting_rows.count(connection, collection_id, plan.after, last, MAX_ID) == len(inverted)
    if not same or in_the_way != list(plan.replaced):
        return
    posting_rows.drop_segments(connection, plan.replaced)
    connection.execute(
        "DELETE FROM posting_deletions WHERE collection_id = ? AND chunk_id > ? AND chunk_id <= ?",
        (collection_id, plan.after, last),
    )
    connection.execute(
        "INSERT INTO posting_segments (collection_id, after, last, chunk_ids, lengths) VALUES (?, ?, ?, ?, ?)",
        (collection_id, plan.after, last, inverted.ids.tobytes(), inverted.lengths.tobytes()),
    )
    segment = connection.last_insert_rowid()
    rows = ((segment, token, postings) for token, postings in inverted.encoded())
    connection.executemany("INSERT INTO posting_lists VALUES (?, ?, ?)", rows)
