"""`bench filters`: filtered search against a filter applied by brute force to complete, unfiltered rankings."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import HashEmbedder
from appliance.search import Retrieval, filter_text, search
from appliance.search.candidates import CANDIDATES
from appliance.types import AllOf, AnyOf, Comparison, Filter, Metadata, MetadataValue, Not, Query
from bench.brute_force import BruteForce, interval
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

    Each collection is searched exactly and through an HNSW index. `different` names filters whose result is not that of
    brute force; `without_filter_too` counts those among them that the filter is not to blame for: the chunks that are
    missing are missed as well when the same question is asked without it. Raises InvalidRequest.
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
        empty = unfiltered = 0
        different: list[str] = []
        for filters, question in wanted:
            query = Query(question, COLLECTION, k=K, filters=filters, alpha=alpha)
            ours, theirs = _found(query, corpus.retrieval), _found(query, brute.retrieval)
            empty += not theirs
            if not same_ranking(ours, theirs):
                different.append(filter_text(filters))
                unfiltered += set() < _missed(ours, theirs) <= _missed_unfiltered(query, corpus, brute)
        row = {"part": name, "filters": count, "identical": f"{count - len(different)} of {count}", "empty": empty}
        told = {"different": different[:3], "without_filter_too": unfiltered}
        rows.append({**row, **told} if different else row)
    return rows


def _found(query: Query, retrieval: Retrieval) -> list[tuple[int, float]]:
    return [(hit.chunk.id, hit.score) for hit in search(query, retrieval).hits]


def _missed(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> set[int]:
    return {chunk for chunk, _ in theirs} - {chunk for chunk, _ in ours}


def _missed_unfiltered(query: Query, corpus: Corpus, brute: BruteForce) -> set[int]:
    """What the first CANDIDATES lack without the filter."""
    whole = query.but(filters=None, k=CANDIDATES)
    return _missed(_found(whole, corpus.retrieval), _found(whole, brute.retrieval))


def same_ranking(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> bool:
    """The same scores at every place and the same chunks above the last score; equal scores may change places."""
    if len(ours) != len(theirs) or not np.allclose([s for _, s in ours], [s for _, s in theirs], rtol=0, atol=1e-5):
        return False
    last = min((score for _, score in theirs), default=0.0) + 1e-5
    return {item for item, score in ours if score > last} == {item for item, score in theirs if score > last}


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
    if isinstance(value, str) and interval(value) is None:
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
