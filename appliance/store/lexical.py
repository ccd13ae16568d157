"""Keyword search: BM25 by FTS5 in two phases, so that common words cost little and rare ones are exact."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import numpy as np

from appliance.store import collections, fulltext
from appliance.store.collections import Collection
from appliance.store.database import Database, fetch
from appliance.store.fulltext import Term
from appliance.types import Ids

MAX_TERMS = 64  # the rarest are kept
# Rows the first phase may score, by size of the collection. Overlap with the full scan's top 10: 1.000 at 2,000 of
# 5,183 rows (SciFact, Cranfield, CACM, CISI), .998 at 1,000, and 1.000 at 20,000 of 200,000.
LEAST_BUDGET, BUDGET_SHARE, MOST_BUDGET = 2_000, 0.2, 20_000
# Title, section, text. A title counts more than its words in running text; 1.5 gains on SciFact (.688 -> .690) and
# Cranfield; 2 and more loses on collections where many rows are little more than a title (CACM .413 -> .399).
WEIGHTS = "1.5, 1.0, 1.0"
K1 = 1.2  # FTS5's constant: a term adds less than idf * (K1 + 1)


@dataclass(frozen=True, slots=True)
class LexicalResult:
    """`rows` are (chunk id, BM25), best first, larger is better. `exact`: no row that is missing could score more."""

    rows: tuple[tuple[int, float], ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class _Weighted:
    """A term with the number of rows it occurs in (for a phrase an upper bound: its rarest token's) and its idf."""

    term: Term
    rows: int
    idf: float


class Lexical:
    """Keyword search over the collections of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, collection: str, text: str, k: int, eligible: Ids | None = None) -> LexicalResult:
        """The best `k` chunks for a plain question; `eligible` (ascending) restricts them.

        A collection or question without any known word gives no rows. Raises StorageError.
        """
        if k < 1 or (eligible is not None and not len(eligible)):
            return LexicalResult((), True)
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            terms = self._weigh(connection, found, text) if found else []
            if not found or not terms:
                return LexicalResult((), True)
            budget = int(min(max(LEAST_BUDGET, BUDGET_SHARE * found.chunks), MOST_BUDGET))
            within = None if eligible is None else np.ascontiguousarray(eligible, dtype=np.int64)
            return _Scan(connection, fulltext.table(found.id), k, within, budget).run(terms)

    def full_scan(self, collection: str, text: str, k: int) -> LexicalResult:
        """As `search`, but every row with any word of the question is scored: linear in the collection. For checks."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            terms = self._weigh(connection, found, text) if found else []
            if not found or not terms or k < 1:
                return LexicalResult((), True)
            return _Scan(connection, fulltext.table(found.id), k, None, found.chunks * len(terms)).run(terms)

    def term_weights(self, collection: str, words: Sequence[str]) -> dict[str, float]:
        """BM25's inverse document frequency of each word; a word without tokens weighs 0. Raises StorageError."""
        with self._database.read(snapshot=True) as connection:
            found = collections.find(connection, collection)
            parts = {word: fulltext.query_terms(connection, word) for word in words}
            counts = _row_counts(connection, found.id, parts) if found else {}
        total = found.chunks if found else 0
        return {
            word: max((idf(total, _rows_of(term, counts)) for term in terms), default=0.0)
            for word, terms in parts.items()
        }

    def _weigh(self, connection: apsw.Connection, collection: Collection, text: str) -> list[_Weighted]:
        """The known terms of a question, rarest first, at most MAX_TERMS."""
        terms = fulltext.query_terms(connection, text)
        counts = _row_counts(connection, collection.id, {"": terms})
        weighted = [_Weighted(term, rows := _rows_of(term, counts), idf(collection.chunks, rows)) for term in terms]
        known = [term for term in weighted if term.rows]
        return sorted(known, key=lambda term: term.rows)[:MAX_TERMS]


def idf(total: int, rows: int) -> float:
    """Inverse document frequency as in https://www.sqlite.org/fts5.html#the_bm25_function, never below 1e-6."""
    return max(math.log((total - rows + 0.5) / (rows + 0.5)), 1e-6) if total >= rows else 1e-6


@dataclass(frozen=True, slots=True)
class _Scan:
    """One search in one table.

    bm25() scores every row that matches, so an OR of all words is linear in the collection. Instead: R = the rarest
    terms up to a budget of rows, C = the rest. Rows with a term of R come from `R1 OR R2 ...`; those that also hold a
    term of C from `(R ...) AND (C ...)`, scored over all terms; the better score of the two is a row's exact BM25. A
    row without any term of R scores at most the sum of C's largest contributions: that tells whether one is missing.
    """

    connection: apsw.Connection
    table: str
    k: int
    eligible: Ids | None
    budget: int

    def run(self, terms: Sequence[_Weighted]) -> LexicalResult:
        split = _within(self.budget, terms)
        while True:
            rare, common = terms[:split], terms[split:]
            best = dict(self._top(_any(rare)))
            if common:
                for chunk, score in self._top(f"({_any(rare)}) AND ({_any(common)})"):
                    best[chunk] = max(score, best.get(chunk, score))
            rows = sorted(best.items(), key=lambda row: (-row[1], row[0]))[: self.k]
            bound = sum(term.term.count * term.idf * (K1 + 1) for term in common)
            exact = not common or (len(rows) == self.k and rows[-1][1] >= bound)
            if exact or (rows and (self.eligible is None or len(rows) == self.k)):
                return LexicalResult(tuple(rows), exact)
            split = len(terms) if rows else split + 1  # few eligible rows: look at all; no row: take the next term in

    def _top(self, expression: str) -> list[tuple[int, float]]:
        """The k best rows for a MATCH expression."""
        if self.eligible is None:
            return fetch(
                self.connection,
                f"SELECT rowid, -rank FROM {self.table} WHERE {self.table} MATCH ? AND rank MATCH 'bm25({WEIGHTS})' "
                "ORDER BY rank LIMIT ?",
                (expression, self.k),
            )
        # The unary plus keeps FTS5 from running the expression once for each id; bm25() is computed for eligible rows
        # only, because it stands behind the membership test.
        return fetch(
            self.connection,
            f"SELECT rowid, -bm25({self.table}, {WEIGHTS}) AS score FROM {self.table} WHERE {self.table} MATCH ? "
            "AND +rowid IN (SELECT value FROM carray(?)) ORDER BY score DESC LIMIT ?",
            (expression, apsw.carray(self.eligible), self.k),
        )


def _within(budget: int, terms: Sequence[_Weighted]) -> int:
    """How many of the terms (rarest first) stay within the budget of rows together; at least one."""
    total = 0
    for index, term in enumerate(terms):
        total += term.rows
        if total > budget:
            return max(index, 1)
    return len(terms)


def _any(terms: Sequence[_Weighted]) -> str:
    """A word the question repeats is repeated here: BM25's query term frequency, each occurrence adding its score."""
    return " OR ".join(" OR ".join([term.term.expression] * term.term.count) for term in terms)


def _rows_of(term: Term, counts: dict[str, int]) -> int:
    return min(counts.get(token, 0) for token in term.tokens)


def _row_counts(connection: apsw.Connection, collection_id: int, parts: dict[str, list[Term]]) -> dict[str, int]:
    """In how many rows each token occurs, from the vocabulary."""
    tokens = sorted({token for terms in parts.values() for term in terms for token in term.tokens})
    marks = ",".join("?" * len(tokens))
    rows = fetch(
        connection, f"SELECT term, doc FROM {fulltext.vocabulary(collection_id)} WHERE term IN ({marks})", tokens
    )
    return dict(rows)
