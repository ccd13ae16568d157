"""Exact BM25 over numbers instead of over FTS5: every row with a word of the question is scored, in milliseconds."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw
import numpy as np

from appliance.store import bm25, fulltext, posting_rows
from appliance.store.bm25 import K1, B, Counted, Weighted
from appliance.store.collections import Collection
from appliance.store.database import MAX_ID, fetch
from appliance.store.fulltext import Term
from appliance.store.inverted import NOWHERE, Inverted, Postings
from appliance.store.posting_lists import PostingLists
from appliance.store.scoring import Asked, Counts, Part, Row, Rows, best, occurrences, rows_of
from appliance.types import Ids

MAX_FRESH = 30_000  # chunks behind the last segment; with more the question is not answered here
MAX_PHRASE_ROWS = 400_000  # in which the rarest word of a phrase may occur
KEPT_PHRASES = 16  # of a version, for the search for an exact term that follows the one for all words; and their rows:
KEPT_PHRASE_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class _State:
    """What is in memory of a collection in one version: 18 bytes a chunk, and the phrases asked for last."""

    version: int
    segments: tuple[int, ...]
    parts: tuple[Part, ...]
    fresh: Inverted
    phrases: OrderedDict[str, tuple[Ids, Counts]] = field(default_factory=OrderedDict)


class PostingSearch:
    """Thread-safe."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}
        self._stored = PostingLists()
        self._lock = threading.Lock()

    def best(
        self, connection: apsw.Connection, collection: Collection, terms: Sequence[Term], k: int, eligible: Ids | None
    ) -> list[Row] | None:
        """The `k` best rows, of the `eligible` (ascending); None where the segments do not hold the collection."""
        with self._lock:
            state = self._state(connection, collection)
        if state is None:
            return None
        known = self._known(connection, state, terms, collection.chunks)
        words = [one.term for one in known if len(one.term.tokens) == 1]
        asked = [one for one in known if len(one.term.tokens) > 1]
        if any(one.rows > MAX_PHRASE_ROWS for one in asked):
            return None
        lists = self._lists(connection, state, [term.tokens[0] for term in words])
        weighed = [
            (_most(collection.chunks, word, _rows(word.tokens[0], state, lists)), word.tokens[0]) for word in words
        ]
        weights = {token: weight for weight, token in sorted(weighed, reverse=True)}
        phrases = [self._weighed_phrase(connection, collection, state, one.term) for one in asked]
        return best(state.parts, Asked(weights, lists, phrases, eligible), k)

    def counts(
        self, connection: apsw.Connection, collection: Collection, tokens: Sequence[str]
    ) -> dict[str, int] | None:
        """In how many rows each token occurs; None where the segments do not hold the collection."""
        with self._lock:
            state = self._state(connection, collection)
        if state is None:
            return None
        lists = self._lists(connection, state, tokens)
        return {token: _rows(token, state, lists) for token in tokens}

    def phrase_rows(self, connection: apsw.Connection, collection: Collection, term: Term) -> int | None:
        """How many rows hold a phrase; None where the segments do not hold the collection."""
        with self._lock:
            state = self._state(connection, collection)
        return None if state is None else len(self._phrase(connection, collection.id, state, term)[0])

    def occurrences(
        self, connection: apsw.Connection, collection: Collection, ids: Ids, terms: Sequence[Term]
    ) -> Counted | None:
        """Of chunks of the collection, by ascending id; None where the segments do not hold them."""
        with self._lock:
            state = self._state(connection, collection)
        if state is None:
            return None
        lists = self._lists(connection, state, [term.tokens[0] for term in terms if len(term.tokens) == 1])
        table = np.concatenate([_counted(part, terms, lists, rows_of(part.ids, ids)) for part in state.parts])
        if len(table) != len(ids):
            return None
        for column, term in enumerate(terms):
            if len(term.tokens) > 1:
                holders, counts = self._phrase(connection, collection.id, state, term)
                _, there, found = np.intersect1d(ids, holders, assume_unique=True, return_indices=True)
                table[there, column] = counts[found] * 0.5
        return table

    def forget(self) -> None:
        """Nothing of any chunk stays in memory."""
        with self._lock:
            self._states.clear()
        self._stored.forget()

    def _state(self, connection: apsw.Connection, collection: Collection) -> _State | None:
        held = posting_rows.ranges(connection, collection.id)
        known = self._states.get(collection.id)
        ids = tuple(one.segment for one in held)
        if not held or posting_rows.end(held) != held[-1].last or (known and known.version > collection.version):
            return None
        if known and (known.version, known.segments) == (collection.version, ids):
            return known
        fresh = known.fresh if known and known.segments == ids else Inverted()
        after = fresh.last or held[-1].last
        missing = posting_rows.count(connection, collection.id, after, MAX_ID, MAX_FRESH)
        if missing + len(fresh) >= MAX_FRESH:
            return None
        posting_rows.add(connection, fresh, collection.id, after, MAX_ID, MAX_FRESH)
        parts = _parts(connection, collection.id, ids, fresh, known.parts if known else ())
        self._states[collection.id] = _State(collection.version, ids, parts, fresh)
        return self._states[collection.id]

    def _known(self, connection: apsw.Connection, state: _State, terms: Sequence[Term], total: int) -> list[Weighted]:
        """The terms that occur and weigh most, rarest first; deleted rows are counted with the others."""
        tokens = sorted({token for term in terms for token in term.tokens})
        if len(tokens) > bm25.MAX_TERMS:
            counts = self._stored.counts(connection, state.segments, tokens)
        else:
            lists = self._stored.of(connection, state.segments, tokens)
            counts = {token: sum(len(rows) for rows, _ in lists[token].values()) for token in tokens}
        counts = {token: counts.get(token, 0) + state.fresh.rows_of(token) for token in tokens}
        weighed = [bm25.weighted(term, min(counts[token] for token in term.tokens), total) for term in terms]
        return bm25.weightiest([one for one in weighed if one.rows])

    def _weighed_phrase(
        self, connection: apsw.Connection, collection: Collection, state: _State, term: Term
    ) -> tuple[float, Ids, Counts]:
        ids, counts = self._phrase(connection, collection.id, state, term)
        return _most(collection.chunks, term, len(ids)), ids, counts

    def _phrase(self, connection: apsw.Connection, collection_id: int, state: _State, term: Term) -> tuple[Ids, Counts]:
        """Chunks that hold a phrase, ascending, with its occurrences."""
        with self._lock:
            found = state.phrases.get(term.expression)
        if found is None:
            found = fulltext.occurrences(connection, collection_id, term.expression)
        with self._lock:
            state.phrases[term.expression] = found
            state.phrases.move_to_end(term.expression)
            rows = sum(len(ids) for ids, _ in state.phrases.values())
            while len(state.phrases) > KEPT_PHRASES or rows > KEPT_PHRASE_ROWS:
                rows -= len(state.phrases.popitem(last=False)[1][0])
        return found

    def _lists(
        self, connection: apsw.Connection, state: _State, tokens: Sequence[str]
    ) -> dict[tuple[int, str], Postings]:
        """(segment, token) -> postings."""
        stored = self._stored.of(connection, state.segments, tokens)
        found = {(segment, token): lists[segment] for token, lists in stored.items() for segment in lists}
        with self._lock:  # others may add to it
            fresh = {token: state.fresh.postings(token) for token in tokens}
        size = len(state.parts[-1].ids)
        for token, (held, counts) in fresh.items():
            until = int(np.searchsorted(held, size))
            found[0, token] = held[:until], counts[:until]
        return found


def _parts(
    connection: apsw.Connection, collection_id: int, wanted: Sequence[int], fresh: Inverted, known: Sequence[Part]
) -> tuple[Part, ...]:
    average = bm25.average_length(connection, collection_id)
    query = "SELECT chunk_id FROM posting_deletions WHERE collection_id = ? ORDER BY chunk_id"
    deleted = np.array([row[0] for row in fetch(connection, query, (collection_id,))], dtype=np.int64)
    present = {part.segment: part for part in known if part.segment}
    parts = []
    for segment in (*wanted, 0):
        if segment in present:
            ids, lengths = present[segment].ids, present[segment].lengths
        elif segment:
            query = "SELECT chunk_ids, lengths FROM posting_segments WHERE id = ?"
            stored = fetch(connection, query, (segment,))[0]
            ids, lengths = np.frombuffer(stored[0], dtype="<i8"), np.frombuffer(stored[1], dtype="<u4")
        else:
            ids, lengths = fresh.ids, fresh.lengths
        live = np.ones(len(ids), dtype=np.bool_)
        live[rows_of(ids, deleted)] = False
        if lengths.dtype != np.uint16 and lengths.max(initial=0) <= np.iinfo(np.uint16).max:
            lengths = lengths.astype(np.uint16)
        norms = lengths * (2 * K1 * B / average)
        norms += 2 * K1 * (1 - B)
        parts.append(Part(segment, ids, lengths, norms, None if live.all() else live))
    return tuple(parts)


def _counted(part: Part, terms: Sequence[Term], lists: dict[tuple[int, str], Postings], rows: Rows) -> Counted:
    """Of some rows of a part."""
    table = np.zeros((len(rows), len(terms) + 1))
    if not len(rows):
        return table
    wanted = rows.astype(np.uint16)
    held = [(column, lists.get((part.segment, term.tokens[0]), NOWHERE))
            for column, term in enumerate(terms) if len(term.tokens) == 1]  # fmt: skip
    found = [(column, postings) for column, postings in held if len(postings[0])]
    table[:, [column for column, _ in found]] = occurrences([postings for _, postings in found], wanted).T * 0.5
    table[:, -1] = part.lengths.take(rows)
    return table


def _most(chunks: int, term: Term, rows: int) -> float:
    """What no row's score from a term in so many rows can reach: its idf times K1 + 1."""
    return term.count * bm25.idf(chunks, rows) * (K1 + 1)


def _rows(token: str, state: _State, lists: dict[tuple[int, str], Postings]) -> int:
    """How many rows hold the token; deleted ones are left out."""
    rows = 0
    for part in state.parts:
        held, _ = lists.get((part.segment, token), NOWHERE)
        rows += len(held) if part.live is None else int(np.count_nonzero(part.live[held]))
    return rows
