"""Exact BM25 over numbers instead of over FTS5: every row with a word of the question is scored, in milliseconds."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw
import numpy as np

from appliance.store import bm25, fulltext, kernel, posting_rows
from appliance.store.bm25 import K1, Counted, Weighted
from appliance.store.collections import Collection
from appliance.store.database import MAX_ID, fetch
from appliance.store.fulltext import Term
from appliance.store.inverted import Inverted
from appliance.store.parts import Coded, Counts, Lengths, Lists, Part, Row, lengths_of, rows_of, shares_of
from appliance.store.posting_lists import PostingLists
from appliance.types import Ids

MAX_FRESH = 30_000  # chunks behind the last segment; with more the question is not answered here
MAX_PHRASE_ROWS = 400_000  # in which the rarest word of a phrase may occur
KEPT_PHRASES = 16  # of a version, for the search for an exact term that follows the one for all words; and their rows:
KEPT_PHRASE_ROWS = 500_000
KEPT_ASKED = 4  # questions of a version, whose passages are looked at once more when their neighbours are known


@dataclass(frozen=True, slots=True)
class Asked:
    """The terms of a question that occur and weigh most, each with its bound (`_most`) and where it stands: words with
    their lists, weightiest first, and behind them phrases with their chunks (ascending) and occurrences.
    """

    terms: list[Term]
    parts: tuple[Part, ...]
    words: list[tuple[float, Lists]]
    phrases: list[tuple[float, Ids, Counts]]

    @property
    def bounds(self) -> list[float]:
        """Of each term."""
        return [bound for bound, _ in self.words] + [bound for bound, _, _ in self.phrases]

    def best(self, k: int, eligible: Ids | None) -> list[Row]:
        """The `k` best rows, of the `eligible` (ascending)."""
        return kernel.best(self.parts, self.words, self.phrases, eligible, k)

    def occurrences(self, ids: Ids) -> Counted | None:
        """Of chunks of the collection, by ascending id; None where the parts do not hold them."""
        nowhere: list[Lists | None] = [None] * len(self.phrases)
        table = kernel.occurrences(self.parts, [lists for _, lists in self.words] + nowhere, ids)
        if table is not None:
            for column, (_, holders, counts) in enumerate(self.phrases, len(self.words)):
                _, there, found = np.intersect1d(ids, holders, assume_unique=True, return_indices=True)
                table[there, column] = counts[found] * 0.5
        return table


@dataclass(frozen=True, slots=True)
class _State:
    """What is in memory of a collection in one version: 10 bytes a chunk, a table of shares a part, and what was asked
    for of the fresh chunks' lists (by token, as far as they hold it), and last of phrases and of questions.
    """

    collection: int
    version: int
    stored: dict[int, Lengths]  # by segment
    parts: tuple[Part, ...]
    fresh: Inverted
    lists: dict[str, Coded] = field(default_factory=dict)
    phrases: OrderedDict[str, tuple[Ids, Counts]] = field(default_factory=OrderedDict)
    asked: OrderedDict[tuple[Term, ...], Asked] = field(default_factory=OrderedDict)


class PostingSearch:
    """Thread-safe."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}
        self._stored = PostingLists()
        self._common_read: dict[int, tuple[int, ...]] = {}  # by collection: segments whose common lists were read
        self._common_named: dict[int, tuple[int, ...]] = {}  # of those that are being read
        self._lock = threading.Lock()

    def asked(self, connection: apsw.Connection, collection: Collection, terms: tuple[Term, ...]) -> Asked | None:
        """What a search needs of a question; None where the segments do not hold the collection."""
        with self._lock:
            state = self._state(connection, collection)
            known = state.asked.get(terms) if state else None
        if state is None or known:
            return known
        asked = self._ask(connection, collection, state, terms)
        if asked:
            with self._lock:
                state.asked[terms] = asked
                while len(state.asked) > KEPT_ASKED:
                    state.asked.popitem(last=False)
        return asked

    def counts(
        self, connection: apsw.Connection, collection: Collection, tokens: Sequence[str]
    ) -> dict[str, int] | None:
        """In how many rows each token occurs; None where the segments do not hold the collection."""
        with self._lock:
            state = self._state(connection, collection)
        if state is None:
            return None
        lists = self._lists(connection, state, tokens)
        return {token: _rows(state, lists[token]) for token in tokens}

    def unread(self, connection: apsw.Connection, collection: Collection) -> list[str]:
        """Tokens to `read` before they are asked for; none where all were read before (`all_read`)."""
        ranges = posting_rows.ranges(connection, collection.id)
        segments = tuple(one.segment for one in ranges)
        if self._common_read.get(collection.id, ()) == segments:
            return []
        self._common_named[collection.id] = segments
        return self._stored.common(connection, ranges)

    def all_read(self, collection: Collection) -> None:
        """What `unread` named last was read; nothing was forgotten meanwhile, or it is named again."""
        with self._lock:
            if named := self._common_named.pop(collection.id, None):
                self._common_read[collection.id] = named

    def read(self, connection: apsw.Connection, collection: Collection, tokens: Sequence[str]) -> None:
        """Bring the stored lists of tokens into memory."""
        with self._lock:
            state = self._state(connection, collection)
        if state is None:
            self._common_named.pop(collection.id, None)
        else:
            self._stored.of(connection, state.collection, state.stored, tokens)

    def forget(self) -> None:
        """Nothing of any chunk stays in memory."""
        with self._lock:
            self._states.clear()
            self._common_read.clear()
            self._common_named.clear()
        self._stored.forget()

    def _state(self, connection: apsw.Connection, collection: Collection) -> _State | None:
        held = posting_rows.ranges(connection, collection.id)
        known = self._states.get(collection.id)
        ids = tuple(one.segment for one in held)
        if not held or posting_rows.end(held) != held[-1].last or (known and known.version > collection.version):
            return None
        if known and (known.version, tuple(known.stored)) == (collection.version, ids):
            return known
        fresh = known.fresh if known and tuple(known.stored) == ids else Inverted()
        after = fresh.last or held[-1].last
        missing = posting_rows.count(connection, collection.id, after, MAX_ID, MAX_FRESH)
        if missing + len(fresh) >= MAX_FRESH:
            return None
        posting_rows.add(connection, fresh, collection.id, after, MAX_ID, MAX_FRESH)
        parts = _parts(connection, collection.id, ids, fresh, known.parts if known else ())
        stored = {part.segment: part.lengths for part in parts if part.segment}
        self._states[collection.id] = _State(collection.id, collection.version, stored, parts, fresh)
        return self._states[collection.id]

    def _ask(
        self, connection: apsw.Connection, collection: Collection, state: _State, terms: Sequence[Term]
    ) -> Asked | None:
        """None where a phrase is too common."""
        known = self._known(connection, state, terms, collection.chunks)
        phrases = [one.term for one in known if len(one.term.tokens) > 1]
        if any(one.rows > MAX_PHRASE_ROWS for one in known if len(one.term.tokens) > 1):
            return None
        words = [one.term for one in known if len(one.term.tokens) == 1]
        lists = self._lists(connection, state, [word.tokens[0] for word in words])
        bounds = {word: _most(collection.chunks, word, _rows(state, lists[word.tokens[0]])) for word in words}
        words.sort(key=lambda word: -bounds[word])
        return Asked(
            [*words, *phrases],
            state.parts,
            [(bounds[word], lists[word.tokens[0]]) for word in words],
            [self._weighed_phrase(connection, collection, state, phrase) for phrase in phrases],
        )

    def _known(self, connection: apsw.Connection, state: _State, terms: Sequence[Term], total: int) -> list[Weighted]:
        """The terms that occur and weigh most, rarest first; deleted rows are counted with the others."""
        tokens = sorted({token for term in terms for token in term.tokens})
        counts = self._stored.counts(connection, state.collection, state.stored, tokens)
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

    def _lists(self, connection: apsw.Connection, state: _State, tokens: Sequence[str]) -> dict[str, Lists]:
        """By token and segment."""
        found = self._stored.of(connection, state.collection, state.stored, tokens)
        part = state.parts[-1]
        if not len(part.ids):
            return found
        new = [token for token in tokens if token not in state.lists]
        with self._lock:  # others may add to it
            fresh = {token: state.fresh.postings(token) for token in new if state.fresh.rows_of(token)}
        for token, (held, counts) in fresh.items():
            if until := int(np.searchsorted(held, len(part.ids))):
                state.lists[token] = part.lengths.coded((held[:until], counts[:until]))
        return {
            token: {**lists, 0: state.lists[token]} if token in state.lists else lists for token, lists in found.items()
        }


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
            ids = np.frombuffer(stored[0], dtype="<i8")
            lengths = lengths_of(np.frombuffer(stored[1], dtype="<u4"))
        else:
            ids, lengths = fresh.ids, lengths_of(fresh.lengths)
        live = np.ones(len(ids), dtype=np.bool_)
        live[rows_of(ids, deleted)] = False
        parts.append(Part(segment, ids, lengths, shares_of(lengths, average), None if live.all() else live))
    return tuple(parts)


def _most(chunks: int, term: Term, rows: int) -> float:
    """What no row's score from a term in so many rows can reach: its idf times K1 + 1."""
    return term.count * bm25.idf(chunks, rows) * (K1 + 1)


def _rows(state: _State, lists: Lists) -> int:
    """How many rows are in the lists; deleted ones are left out."""
    rows = 0
    for part in state.parts:
        if part.segment in lists:
            held, _ = lists[part.segment]
            rows += len(held) if part.live is None else int(np.count_nonzero(part.live[held]))
    return rows
