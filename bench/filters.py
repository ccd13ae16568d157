"""`bench filters`: filtered search against a filter applied by brute force to complete, unfiltered rankings.

The brute force shares nothing with the search but the fusion: it reads each document's metadata as given, decides in
plain Python who passes (dates as intervals of moments), compares the question with every stored vector, and scores
every row by BM25.
"""

import json
import operator as op
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import HashEmbedder
from appliance.search import filter_text, search
from appliance.store import LexicalResult, fulltext
from appliance.store.bm25 import SQL_WEIGHTS
from appliance.store.database import fetch
from appliance.types import AllOf, AnyOf, Comparison, Filter, Ids, Metadata, MetadataValue, Not, Query, Vector
from bench.corpus import COLLECTION, Corpus, Text, ingested

FILTERS = 600
K = 10
DOCUMENTS = 1200  # of the made collection
RUNS = {"fused": None, "dense": 1.0, "bm25": 0.0}
HINT = "Name a folder with corpus.jsonl, whose rows have `metadata`, or leave --data out."

_PLACES = ("Oslo", "Paris", "São Paulo", "New York", "York", "Łódź")
_TAGS = ("engine", "engines", "notes", "Budget", "board", "2020")
_WORDS = [
    "pump",
    "valve",
    "seal",
    "index",
    "server",
    "port",
    "garden",
    "soup",
    "tomato",
    "pressure",
    "report",
    "annual",
    "lease",
    "board",
]


def run(data: Path | None, settings: Settings, *, filters: int = FILTERS, seed: int = 7) -> dict[str, Any]:
    """{"runs": [{"collection", "index", "part", "filters", "identical", "empty"}]}: hits of K, scores to 5 digits.

    Each collection is searched exactly and through an HNSW index. Raises InvalidRequest.
    """
    sets = [("made, random types", made_texts(seed))]
    if data is not None:
        sets.append((data.name, read_texts(data)))
    runs: list[dict[str, Any]] = []
    for name, texts in sets:
        for below in (10**9, 10):  # exact, HNSW
            with ingested(
                texts, HashEmbedder(), settings.model_copy(update={"exact_scan_below": below}), label=name
            ) as corpus:
                corpus.index.rebuild()
                runs += [
                    {"collection": name, "index": corpus.index.status().kind, **row}
                    for row in compare(corpus, texts, filters, seed)
                ]
    return {"runs": runs, "seed": seed}


def compare(corpus: Corpus, texts: Sequence[Text], count: int, seed: int) -> list[dict[str, Any]]:
    """Random filters and questions; one row for each part of the search."""
    chance = random.Random(seed)
    brute = BruteForce(corpus, texts)
    wanted = [(random_filter(chance, texts), _question(chance, texts)) for _ in range(count)]
    rows = []
    for name, alpha in RUNS.items():
        identical = empty = 0
        different: list[str] = []
        for filters, question in wanted:
            query = Query(question, COLLECTION, k=K, filters=filters, alpha=alpha)
            ours, theirs = search(query, corpus.retrieval).hits, search(query, brute.retrieval).hits
            empty += not theirs
            same = same_ranking([(h.chunk.id, h.score) for h in ours], [(h.chunk.id, h.score) for h in theirs])
            identical += same
            if not same:
                different.append(filter_text(filters))
        row = {"part": name, "filters": count, "identical": f"{identical} of {count}", "empty": empty}
        rows.append({**row, "different": different[:3]} if different else row)
    return rows


def same_ranking(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> bool:
    """The same scores at every place and the same chunks above the last score; equal scores may change places."""
    if len(ours) != len(theirs) or not np.allclose([s for _, s in ours], [s for _, s in theirs], rtol=0, atol=1e-5):
        return False
    last = min((score for _, score in theirs), default=0.0) + 1e-5
    return {item for item, score in ours if score > last} == {item for item, score in theirs if score > last}


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
            documents=SimpleNamespace(eligible=self.eligible, chunks=documents.chunks),
            lexical=SimpleNamespace(search=self.by_words, term_weights=corpus.store.lexical.term_weights),
        )
        index: Any = SimpleNamespace(search=self.by_meaning)
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
    own, other = _interval(item), _interval(value)
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


def _interval(value: Any) -> tuple[datetime, datetime] | None:
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


def made_texts(seed: int, count: int = DOCUMENTS) -> list[Text]:
    """Documents of random words whose metadata has every type, and some fields missing."""
    chance = random.Random(seed)
    texts = []
    for number in range(count):
        words = " ".join(chance.choices(_WORDS, k=30))
        fields: dict[str, MetadataValue] = {
            "year": chance.randint(1990, 2025),
            "price": round(chance.uniform(-5, 500), 2),
            "place": chance.choice(_PLACES),
            "held": _random_date(chance),
            "draft": chance.random() < 0.3,
            "tags": chance.sample(_TAGS, chance.randint(1, 3)),
            "code": chance.choice(("A-1", "17", "b2", "2001", "x")),
        }
        kept = {name: value for name, value in fields.items() if chance.random() < 0.85}
        texts.append(Text(f"made-{number}", words[:20], words, kept))
    return texts


def _random_date(chance: random.Random) -> str:
    moment = datetime(2018, 1, 1, tzinfo=UTC) + timedelta(hours=chance.randint(0, 24 * 365 * 4))
    return moment.strftime(chance.choice(("%Y-%m", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y")))


def random_filter(chance: random.Random, texts: Sequence[Text], depth: int = 0) -> Filter:
    """A condition on values that documents have, or some of them joined."""
    if depth < 2 and chance.random() < 0.4:
        parts = tuple(random_filter(chance, texts, depth + 1) for _ in range(chance.randint(2, 3)))
        return chance.choice((AllOf(parts), AnyOf(parts), Not(parts[0])))
    metadata: Metadata = {}
    while not metadata:
        metadata = chance.choice(texts).metadata
    name = chance.choice(sorted(metadata))
    held = metadata[name]
    value = chance.choice(held) if isinstance(held, list) and held else held
    if isinstance(value, list):
        return Comparison(name, "exists", True)
    operators = ["=", "!=", "in", "exists"]
    if isinstance(value, str) and _interval(value) is None:
        operators += ["contains", "contains", "<", ">="]
        value = value.upper() if chance.random() < 0.3 else value
    elif not isinstance(value, bool):
        operators += ["<", "<=", ">", ">="] * 2
        if isinstance(value, str) and chance.random() < 0.5:
            value = value[: chance.choice((4, 7, 10))]
    operator = chance.choice(operators)
    if operator == "contains" and isinstance(value, str) and not isinstance(held, list):
        value = value[chance.randrange(max(1, len(value) // 2)) :]
    if operator == "in":
        return Comparison(name, "in", [value, "nothing"])  # type: ignore[list-item]  # numbers stay numbers
    return Comparison(name, operator, True if operator == "exists" else value)


def _question(chance: random.Random, texts: Sequence[Text]) -> str:
    words = chance.choice(texts).text.split() or ["nothing"]
    return " ".join(chance.sample(words, min(4, len(words))))


def read_texts(data: Path) -> list[Text]:
    """The documents of a `corpus.jsonl` with their metadata. Raises InvalidRequest."""
    try:
        rows = [json.loads(line) for line in (data / "corpus.jsonl").read_text("utf-8").splitlines() if line.strip()]
        return [
            Text(str(row["_id"]), str(row["title"]), str(row["text"]) or str(row["title"]), _kept(row["metadata"]))
            for row in rows
        ]
    except OSError as error:
        raise InvalidRequest(f"{data} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{data} has no metadata.", code="bad_data", hint=HINT) from error


def _kept(metadata: dict[str, Any]) -> Metadata:
    return {name: value for name, value in metadata.items() if value not in ("", [], None)}
