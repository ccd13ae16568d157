"""Keyword search: the best rows by BM25 in FTS5 without scoring every row that holds a common word."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import apsw
import msgspec
import numpy as np

from appliance import words
from appliance.store import bm25, collections, fulltext, neighbours
from appliance.store.bm25 import Counted, Weighted
from appliance.store.collections import Collection
from appliance.store.database import Database, fetch
from appliance.store.fulltext import Term
from appliance.store.neighbours import Count
from appliance.store.postings import PostingSearch
from appliance.store.scan import Scan, any_of
from appliance.types import Ids

MAX_COUNTS = 50_000  # words whose counts and weights are remembered for a version of a collection
LONGEST = 100  # characters of such a word
READ_AT_ONCE = 32  # tokens; of a million passages ten milliseconds

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class LexicalResult:
    """`rows` are (chunk id, BM25), best first, larger is better. `exact`: no row that is missing could score more."""

    rows: tuple[tuple[int, float], ...]
    exact: bool


class Lexical:
    """Keyword search over the collections of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[int, tuple[int, dict[str, int]]] = {}  # collection -> (version, token -> rows)
        self._weights: dict[int, tuple[int, dict[str, float]]] = {}  # collection -> (version, word -> idf)
        self._postings = PostingSearch()
        self._places = neighbours.Places()

    def search(
        self, collection: str, text: str, k: int, eligible: Ids | None = None, *, sure: int | None = None
    ) -> LexicalResult:
        """The best `k` chunks for a plain question; `eligible` (ascending) restricts them.

        `sure` (default k): how many of the first `exact` speaks of, and how many it is worth looking further for.
        A collection or question without any known word gives no rows. Raises StorageError.
        """
        if k < 1 or (eligible is not None and not len(eligible)):
            return LexicalResult((), True)
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            if not found:
                return LexicalResult((), True)
            within = None if eligible is None else np.ascontiguousarray(eligible, dtype=np.int64)
            asked = self._postings.asked(connection, found, fulltext.query_terms(connection, text))
            if asked is not None:
                return LexicalResult(tuple(asked.best(k, within)), True)
            terms = self._weigh(connection, found, text)
            if not terms:
                return LexicalResult((), True)
            rows, exact = Scan(connection, found, k, min(sure or k, k), within).run(terms)
        return LexicalResult(tuple(rows), exact)

    def warm_up(self, collection: str, check: Callable[[], None] = lambda: None) -> None:
        """Read what most questions need before they come: the lists of common words, in short reads.

        `check` is called between them and may raise. Where that was done before, nothing happens. Raises StorageError.
        """
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            tokens = sorted(self._postings.unread(connection, found)) if found else []  # as they are stored
        for start in range(0, len(tokens), READ_AT_ONCE):
            check()
            with self._database.read(snapshot=True) as connection:
                found = collections.find(connection, collection)
                if found:
                    self._postings.read(connection, found, tokens[start : start + READ_AT_ONCE])
        if found:
            self._postings.all_read(found)

    def forget(self) -> None:
        """Nothing of any chunk stays in memory."""
        self._postings.forget()
        self._counts.clear()
        self._weights.clear()
        words.forget()
        fulltext.forget()

    def full_scan(self, collection: str, text: str, k: int) -> LexicalResult:
        """As `search`, but every row with any word of the question is scored: linear in the collection. For checks."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            terms = self._weigh(connection, found, text) if found else []
            if not found or not terms or k < 1:
                return LexicalResult((), True)
            return LexicalResult(tuple(Scan(connection, found, k, k, None).top(any_of(terms))), True)

    def in_context(self, collection: str, text: str, ids: Mapping[int, int]) -> dict[int, float]:
        """What BM25 gives those of the chunks that exist when it also counts the words of the chunks beside each.

        `ids`: chunk -> its document. Larger is better; nothing for a question without any known word. Raises
        StorageError.
        """
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            if not found:
                return {}
            bounds, count = self._counting(connection, found, text)
            return neighbours.scores(connection, found, ids, bounds, count, self._places) if bounds else {}

    def _counting(
        self, connection: apsw.Connection, collection: Collection, text: str
    ) -> tuple[Sequence[float], Count]:
        """What no row's score from each term of a question can reach, and what counts these terms in chunks.

        Looked up where there are segments, which is ten times as fast as reading the texts.
        """
        asked = self._postings.asked(connection, collection, fulltext.query_terms(connection, text))
        if asked:
            terms, bounds = asked.terms, asked.bounds
        else:
            weighed = self._weigh(connection, collection, text)
            exact = [self._with_rows(connection, collection, one) for one in weighed]
            terms, bounds = [one.term for one in exact], [bm25.most([one]) for one in exact]

        def count(ids: Ids) -> Counted:
            held = asked.occurrences(ids) if asked else None
            return bm25.counted(connection, ids, terms) if held is None else held

        return bounds, count

    def term_weights(self, collection: str, asked: Sequence[str]) -> dict[str, float]:
        """BM25's inverse document frequency of each word; a word without tokens weighs 0. Raises StorageError."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            if not found:
                return dict.fromkeys(asked, 0.0)
            known = self._remembered(self._weights, found)
            missing = [word for word in asked if word not in known]
            if not missing:
                return {word: known[word] for word in asked}
            parts = {word: fulltext.query_terms(connection, word) for word in missing}
            counts = self._row_counts(
                connection, found, {token for terms in parts.values() for term in terms for token in term.tokens}
            )
        made = {
            word: max((bm25.idf(found.chunks, _rows_of(term, counts)) for term in terms), default=0.0)
            for word, terms in parts.items()
        }
        known.update((word, weight) for word, weight in made.items() if len(word) <= LONGEST)
        return {word: made[word] if word in made else known[word] for word in asked}

    def _weigh(self, connection: apsw.Connection, collection: Collection, text: str) -> list[Weighted]:
        """The known terms of a question that weigh most, rarest first."""
        terms = fulltext.query_terms(connection, text)
        counts = self._row_counts(connection, collection, {token for term in terms for token in term.tokens})
        weighted = [bm25.weighted(term, _rows_of(term, counts), collection.chunks) for term in terms]
        return bm25.weightiest([term for term in weighted if term.rows])

    def _with_rows(self, connection: apsw.Connection, collection: Collection, weighted: Weighted) -> Weighted:
        """A phrase with the number of rows that hold it, and its idf by that."""
        if len(weighted.term.tokens) == 1:
            return weighted
        name = fulltext.table(collection.id)
        query = f"SELECT count(*) FROM {name} WHERE {name} MATCH ?"
        rows = int(connection.execute(query, (weighted.term.expression,)).get)
        return msgspec.structs.replace(weighted, rows=rows, idf=bm25.idf(collection.chunks, rows))

    def _row_counts(self, connection: apsw.Connection, collection: Collection, tokens: set[str]) -> dict[str, int]:
        """In how many rows each token occurs: segments know, FTS5 walks through them all; counts are remembered."""
        known = self._remembered(self._counts, collection)
        missing = sorted(token for token in tokens if token not in known)  # a difference would walk through `known`
        if not missing:
            return known
        counted = self._postings.counts(connection, collection, missing)
        if counted is None:
            query = f"SELECT term, doc FROM {fulltext.vocabulary(collection.id)} WHERE term IN ({_marks(missing)})"
            counted = dict(fetch(connection, query, missing))
        counted = dict.fromkeys(missing, 0) | counted
        if max(map(len, missing)) > LONGEST:
            return known | counted
        known.update(counted)  # in place: copies of so many words cost milliseconds
        return known

    def _remembered(self, kept: dict[int, tuple[int, dict[str, V]]], collection: Collection) -> dict[str, V]:
        """What is kept by word for this version of the collection, to be added to."""
        version, known = kept.get(collection.id, (0, {}))
        if version != collection.version or len(known) > MAX_COUNTS:
            known = {}
            kept[collection.id] = collection.version, known
        return known


def _rows_of(term: Term, counts: dict[str, int]) -> int:
    return min(counts.get(token, 0) for token in term.tokens)


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
