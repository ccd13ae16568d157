"""Filtered search by brute force, to compare with: every part looks at everything.

It shares nothing with the search but the fusion and the words beside a passage: it reads each document's metadata as
given, decides in plain Python who passes (dates as intervals of moments), compares the question with every stored
vector, and scores every row by BM25.
"""

import operator as op
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from appliance.store import LexicalResult, fulltext
from appliance.store.bm25 import SQL_WEIGHTS
from appliance.store.database import fetch
from appliance.types import AllOf, AnyOf, Comparison, Filter, Ids, Metadata, MetadataValue, Not, Vector
from bench.corpus import COLLECTION, Corpus, Text


class BruteForce:
    """The parts of a search made from nothing but stored rows: every part looks at all of them."""

    def __init__(self, corpus: Corpus, texts: Sequence[Text]) -> None:
        self._corpus = corpus
        self._metadata = {text.source: text.metadata for text in texts}
        documents = corpus.store.documents
        self._ids = documents.chunk_ids(COLLECTION)
        self._vectors = documents.vector_source(COLLECTION).some(self._ids)[1]
        self._decided: dict[str, Ids] = {}
        self._sources = {i: chunk.source for i, chunk in documents.chunks(self._ids.tolist()).items()}
        store: Any = SimpleNamespace(
            snapshot=corpus.store.snapshot,
            documents=SimpleNamespace(eligible=self.eligible, chunks=documents.chunks, chunks_of=documents.chunks_of),
            lexical=SimpleNamespace(
                search=self.by_words,
                in_context=corpus.store.lexical.in_context,
                term_weights=corpus.store.lexical.term_weights,
            ),
        )
        index: Any = SimpleNamespace(search=self.by_meaning, cosines=self.cosines)
        self.retrieval = replace(corpus.retrieval, store=store, index=lambda _: index)

    def eligible(self, _collection: str, filters: Filter) -> Ids:
        return np.array(
            [i for i in self._ids.tolist() if passes(filters, self._metadata[self._sources[i]])], dtype=np.int64
        )

    def by_meaning(self, vector: Vector, k: int, eligible: Ids | None = None) -> list[tuple[int, float]]:
        kept = np.ones(len(self._ids), dtype=np.bool_) if eligible is None else np.isin(self._ids, eligible)
        ids, scores = self._ids[kept], (self._vectors @ vector)[kept]
        order = np.lexsort((ids, -scores))[:k]
        return list(zip(ids[order].tolist(), scores[order].tolist(), strict=True))

    def cosines(self, vector: Vector, ids: Ids) -> dict[int, float]:
        return dict(self.by_meaning(vector, len(ids), ids))

    def by_words(
        self, collection: str, text: str, k: int, eligible: Ids | None = None, *, sure: int = 0
    ) -> LexicalResult:
        database = self._corpus.store.database
        found = self._corpus.store.documents.collection(collection)
        assert found is not None
        table = fulltext.table(found.id)
        with database.read() as connection:
            terms = fulltext.query_terms(connection, text)
            if not terms:
                return LexicalResult((), True)
            anything = " OR ".join(" OR ".join([term.expression] * term.count) for term in terms)
            query = f"SELECT rowid, -bm25({table}, {SQL_WEIGHTS}) FROM {table} WHERE {table} MATCH ?"
            rows = fetch(connection, query, (anything,))
        allowed = None if eligible is None else set(eligible.tolist())
        ranked = sorted(rows, key=lambda row: (-row[1], row[0]))
        return LexicalResult(tuple(row for row in ranked if allowed is None or row[0] in allowed)[:k], True)


def passes(filters: Filter, metadata: Metadata) -> bool:
    """Whether a document passes, from its metadata as given."""
    match filters:
        case AllOf(parts):
            return all(passes(part, metadata) for part in parts)
        case AnyOf(parts):
            return any(passes(part, metadata) for part in parts)
        case Not(part):
            return not passes(part, metadata)
        case Comparison(name, "!=", value):
            return not passes(Comparison(name, "=", value), metadata)
        case Comparison(name, operator, value):
            held = metadata.get(name)
            items = held if isinstance(held, list) else [] if held is None else [held]
            return any(_holds(item, operator, value, listed=isinstance(held, list)) for item in items)


def _holds(item: Any, operator: str, value: MetadataValue, *, listed: bool) -> bool:
    if operator == "exists":
        return True
    if operator == "in":
        return any(_holds(item, "=", other, listed=listed) for other in value) if isinstance(value, list) else False
    if operator == "contains":
        return _plain(value) == _plain(item) if listed else _plain(value) in _plain(item)
    if (mine := _number(item)) is not None and (theirs := _number(value)) is not None:
        return _compared(operator, mine, theirs)
    own, other = interval(item), interval(value)
    if own is not None and other is not None:
        (start, end), (first, last) = own, other
        return {
            "=": first <= start and end <= last,
            "<": end <= first,
            "<=": end <= last,
            ">": start >= last,
            ">=": start >= first,
        }[operator]
    if other is not None or _number(value) is not None:
        return operator == "=" and _plain(item) == _plain(value)
    return _compared(operator, _plain(item), _plain(value))


def _compared(operator: str, mine: Any, theirs: Any) -> bool:
    made: Callable[[Any, Any], bool] = {"=": op.eq, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}[operator]
    return made(mine, theirs)


def _plain(value: Any) -> str:
    return str(value).casefold()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def interval(value: Any) -> tuple[datetime, datetime] | None:
    """All moments that an ISO text, or a whole number that may be a year, can mean."""
    text = str(value)
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%Y-%m", "%Y"):
        try:
            start = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if form == "%Y":
            return (start, start.replace(year=start.year + 1)) if 1000 <= start.year < 3000 and text.isdigit() else None
        if form == "%Y-%m":
            return start, (start + timedelta(days=31)).replace(day=1)
        return start, start + (timedelta(days=1) if form == "%Y-%m-%d" else timedelta(seconds=1))
    return None
