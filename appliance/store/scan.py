"""One search by BM25 in one FTS5 table: the rarest words first, common ones only for rows that are found already."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import apsw
import numpy as np

from appliance.store import bm25, fulltext
from appliance.store.bm25 import Weighted
from appliance.store.collections import Collection
from appliance.store.database import fetch
from appliance.types import Ids

# Rows that are scored first, by size of the collection, and at most where the best are not proven by then.
LEAST_FIRST, FIRST_SHARE, MOST_FIRST = 2_000, 0.2, 5_000
BUDGET = 20_000
MOST_ROWS = 50_000  # scored in one statement; of a rarest word in more rows than that the newest are looked at
# bm25() walks through all rows of each word of the question for its idf alone, so words in more rows than this are kept
# out of it: what they add is computed from the texts of the best rows.
COMMON_ROWS = 100_000
LEAST_RESCORED, MOST_RESCORED = 100, 300  # rows
FEW_ELIGIBLE = 1_500  # are scored from their texts, each of them
LISTED_SHARE = 0.02  # of the collection: fewer eligible rows are listed to SQLite, more are picked out of a longer top

Row: TypeAlias = tuple[int, float]  # chunk id, BM25: larger is better


@dataclass(frozen=True, slots=True)
class Scan:
    """One search in one collection; of the `k` rows the first `sure` shall be the best there are.

    bm25() scores every row that matches, so an OR of all words is linear in the collection. Instead: R = the rarest
    terms, few rows together; C = the rest. Rows with a term of R come from `R1 OR R2 ...`; those that also hold a
    term of C from `(R ...) AND (C ...)`, scored over both; the better score of the two is the row's own. A row without
    any term of R scores less than the sum of C's bounds (`bm25.most`): while the last sure row does not reach that sum,
    the next rarest terms move from C to R, within a budget of rows. Only rows of those terms are scored then.
    """

    connection: apsw.Connection
    collection: Collection
    k: int
    sure: int
    eligible: Ids | None

    def run(self, terms: Sequence[Weighted]) -> tuple[list[Row], bool]:
        """The best `k` rows for terms given rarest first, and whether the first `sure` are provably the best."""
        return self._run(terms, COMMON_ROWS)

    def _run(self, terms: Sequence[Weighted], common_rows: float) -> tuple[list[Row], bool]:
        if self.eligible is not None and len(self.eligible) <= FEW_ELIGIBLE:
            return self._score_each(self.eligible, terms)
        scanned, common = _parted(terms, common_rows)
        limit = max(self.k, MOST_RESCORED if common else 0)
        rows, bound = self._scan(scanned, bm25.most(common), limit)
        if common and (not rows or (self.eligible is not None and len(rows) < self.k)):
            return self._run(terms, math.inf)  # rows that hold common words alone
        if common:
            rows, bound = self._rescore(rows, bound, common, whole=len(rows) < limit)
        reached = len(rows) >= self.sure and rows[self.sure - 1][1] >= bound
        return rows[: self.k], bound == 0 or reached

    def top(self, expression: str, limit: int | None = None, most_rows: int | None = None) -> list[Row]:
        """The best rows for a MATCH expression; of the newest `most_rows` that match, if that is given."""
        limit = limit or self.k
        if self.eligible is None:
            return self._best(expression, limit) if most_rows is None else self._newest(expression, limit, most_rows)
        share = self._share()
        if share >= LISTED_SHARE and most_rows is None:
            longer = int(1.5 * limit / share) + 10
            rows = self._best(expression, longer)
            ids = np.array([chunk for chunk, _ in rows], dtype=np.int64)
            places = np.minimum(np.searchsorted(self.eligible, ids), len(self.eligible) - 1)
            passing = [row for row, passes in zip(rows, self.eligible[places] == ids, strict=True) if passes]
            if len(passing) >= limit or len(rows) < longer:
                return passing[:limit]
        return self._listed(expression, limit, most_rows)

    def _scan(self, terms: Sequence[Weighted], beyond: float, limit: int) -> tuple[list[Row], float]:
        """The best `limit` rows by these terms, and what no row that is not among those with a term of R can reach.

        `beyond` is what terms that are not scanned could add. A bound of 0: there is no such row.
        """
        best: dict[int, float] = {}
        taken, until = 0, _within(self._budget(first=True), terms)
        cut = False
        while until > taken:
            most_rows = MOST_ROWS if _rows(terms[taken:until]) * self._share() > MOST_ROWS else None
            cut = cut or most_rows is not None
            for expression in _expressions(terms, taken, until, floor=_kth(best, self.k) - beyond):
                for chunk, score in self.top(expression, limit, most_rows):
                    best[chunk] = max(score, best.get(chunk, score))
            taken = until
            until = self._further(terms, taken, len(best), _kth(best, self.sure) - beyond)
        rows = sorted(best.items(), key=lambda row: (-row[1], row[0]))[:limit]
        return rows, math.inf if cut else bm25.most(terms[taken:]) + beyond

    def _further(self, terms: Sequence[Weighted], taken: int, found: int, reach: float) -> int:
        """Up to which term to go on: until the rest cannot reach `reach`, within the budget; or until k are found."""
        if found < self.k and self.eligible is not None:
            return min(len(terms), max(taken + 1, 2 * taken))
        limit = _within(self._budget(first=False), terms)
        enough = next(n for n in range(taken, len(terms) + 1) if n == len(terms) or bm25.most(terms[n:]) <= reach)
        return min(limit, enough) if found else min(len(terms), max(limit, taken + 1))

    def _budget(self, *, first: bool) -> int:
        """Rows; where few are eligible the others cost little, for they are not scored."""
        rows = min(max(LEAST_FIRST, FIRST_SHARE * self.collection.chunks), MOST_FIRST) if first else BUDGET
        return int(rows / max(self._share(), 0.2))

    def _share(self) -> float:
        """Of the collection's rows, how many are eligible."""
        return 1.0 if self.eligible is None else len(self.eligible) / max(1, self.collection.chunks)

    def _rescore(
        self, rows: Sequence[Row], bound: float, common: Sequence[Weighted], *, whole: bool
    ) -> tuple[list[Row], float]:
        """Add what the common terms give, from the best row on, while a row could still come among the sure ones.

        `whole`: there are no rows of a term of R beside these.
        """
        most = bm25.most(common)
        found: dict[int, float] = {}
        for start in range(0, len(rows), LEAST_RESCORED):
            if len(found) >= self.k and rows[start][1] + most <= _kth(found, self.sure):
                break
            part = dict(rows[start : start + LEAST_RESCORED])
            ids = np.array(sorted(part), dtype=np.int64)
            added = bm25.scores(self.connection, self.collection.id, ids, common)
            found.update({chunk: score + added.get(chunk, 0.0) for chunk, score in part.items()})
        if len(found) < len(rows) or not whole:
            bound = max(bound, rows[min(len(found), len(rows) - 1)][1] + most)
        return sorted(found.items(), key=lambda row: (-row[1], row[0])), bound

    def _score_each(self, ids: Ids, terms: Sequence[Weighted]) -> tuple[list[Row], bool]:
        """From their texts: dearer by the row than a scan, but independent of the size of the collection."""
        counted = [self._counted(term) for term in terms]
        found = bm25.scores(self.connection, self.collection.id, ids, counted)
        rows = sorted((row for row in found.items() if row[1] > 0), key=lambda row: (-row[1], row[0]))
        return rows[: self.k], True

    def _counted(self, weighted: Weighted) -> Weighted:
        """With the true number of rows of a phrase."""
        if len(weighted.term.tokens) == 1:
            return weighted
        table = fulltext.table(self.collection.id)
        query = f"SELECT count(*) FROM {table} WHERE {table} MATCH ?"
        rows = self.connection.execute(query, (weighted.term.expression,)).get
        return Weighted(weighted.term, rows, bm25.idf(self.collection.chunks, rows))

    def _best(self, expression: str, limit: int) -> list[Row]:
        table = fulltext.table(self.collection.id)
        query = f"SELECT rowid, -bm25({table}, {bm25.SQL_WEIGHTS}) AS score FROM {table} WHERE {table} MATCH ? "
        query += "ORDER BY score DESC LIMIT ?"
        return fetch(self.connection, query, (expression, limit))

    def _newest(self, expression: str, limit: int, most_rows: int) -> list[Row]:
        table = fulltext.table(self.collection.id)
        query = (
            f"SELECT rowid, score FROM (SELECT rowid, -bm25({table}, {bm25.SQL_WEIGHTS}) AS score FROM {table} "
            f"WHERE {table} MATCH ? ORDER BY rowid DESC LIMIT ?) ORDER BY score DESC LIMIT ?"
        )
        return fetch(self.connection, query, (expression, most_rows, limit))

    def _listed(self, expression: str, limit: int, most_rows: int | None) -> list[Row]:
        """Eligible rows only. The unary plus keeps FTS5 from running the expression once for each id; bm25() is
        computed for eligible rows only, because it stands behind the membership test.
        """
        table = fulltext.table(self.collection.id)
        newest = "" if most_rows is None else f"ORDER BY rowid DESC LIMIT {most_rows}"
        query = (
            f"SELECT rowid, score FROM (SELECT rowid, -bm25({table}, {bm25.SQL_WEIGHTS}) AS score FROM {table} "
            f"WHERE {table} MATCH ? AND +rowid IN (SELECT value FROM carray(?)) {newest}) ORDER BY score DESC LIMIT ?"
        )
        return fetch(self.connection, query, (expression, apsw.carray(self.eligible), limit))


def _parted(terms: Sequence[Weighted], common_rows: float) -> tuple[list[Weighted], list[Weighted]]:
    """Terms to scan for, and common ones to look up in the texts of what was found: words, not phrases.

    The rarest is scanned in any case, the two rarest where one alone would give too many rows.
    """
    least = 1 if terms[0].rows <= MOST_ROWS else 2
    common = [term for term in terms[least:] if term.rows > common_rows and len(term.term.tokens) == 1]
    return [term for term in terms if term not in common], common


def _expressions(terms: Sequence[Weighted], taken: int, until: int, *, floor: float) -> list[str]:
    """What scores the rows of terms[taken:until], as far as they can reach `floor`.

    No NOT to leave out rows that are scored already: with it FTS5 forgets phrases of a row when it scores it.
    """
    new, others = terms[taken:until], [*terms[:taken], *terms[until:]]
    alone = [any_of(new)] if not others or bm25.most(new) > floor else []
    return [*alone, f"({any_of(new)}) AND ({any_of(others)})"] if others else alone


def _kth(scores: dict[int, float], k: int) -> float:
    """The k-th best score; less than any where there are fewer."""
    return sorted(scores.values(), reverse=True)[k - 1] if len(scores) >= k else -math.inf


def _rows(terms: Sequence[Weighted]) -> int:
    return sum(term.rows for term in terms)


def _within(budget: int, terms: Sequence[Weighted]) -> int:
    """How many of the terms (rarest first) stay within the budget of rows together; at least one."""
    total = 0
    for index, term in enumerate(terms):
        total += term.rows
        if total > budget:
            return max(index, 1)
    return len(terms)


def any_of(terms: Sequence[Weighted]) -> str:
    """A word the question repeats is repeated here: BM25's query term frequency, each occurrence adding its score."""
    return " OR ".join(" OR ".join([term.term.expression] * term.term.count) for term in terms)
