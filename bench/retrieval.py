"""`bench retrieval`: nDCG@10, recall@100 and latency on judged data sets in BEIR form, through the real search path."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.flags import of_settings
from appliance.search import Defaults, LateInteraction, Retrieval, search
from appliance.types import Embedder, Fusion, Query
from bench.corpus import COLLECTION, Text, ingested, open_models

# What a run asks for beyond the defaults. "hybrid" is the fusion alone, "served" what a question gets by itself,
# "late-interaction" the same with that reranker in place of the one by words.
RUNS: Mapping[str, Mapping[str, Any]] = {
    "hybrid": {"rerank": False},
    "dense": {"alpha": 1.0},
    "bm25": {"alpha": 0.0},
    "served": {},
    LateInteraction.name: {},
    "rrf": {"rerank": False, "fusion": Fusion.RRF},
    "collapse": {"collapse": True},
    "mmr .7": {"diversify": 0.7},
}
TUNED = (
    "Weights were chosen on SciFact train and on every second question (the first, the third, ...) of CACM, Cranfield "
    "and CISI, how the words beside a passage count on these and SQuAD 2.0 dev, articles of odd number; "
    "`untuned ndcg@10` is over the other questions of a set, and the same as ndcg@10 for SciFact test."
)
TUNED_SETS = frozenset(("cacm", "cranfield", "cisi"))
CHUNKS = 300  # hits asked for, so that 100 documents are among them where documents have several chunks
WARM_UP = 10  # questions asked before the clock starts
TIMED = 110  # questions asked with a clock, the first ones among them

HINT = "Name a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv (BEIR form), or a folder of such folders."

Judgements = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade above 0


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Documents, questions and who is right."""

    name: str
    texts: Sequence[Text]
    queries: Mapping[str, str]
    judgements: Judgements


def run(data: Path, settings: Settings, *, split: str = "test", embedder: Embedder | None = None) -> dict[str, Any]:
    """{"runs": [{"name", "ndcg@10", "untuned ndcg@10", "recall@100", "p50_ms", "p95_ms"}], "documents", "queries"}.

    For a folder of several sets the runs carry their set's name as well. A document stands where its best chunk stands.
    Raises InvalidRequest that says what is missing.
    """
    sets = [read_set(folder, split) for folder in _folders(data, split)]
    if embedder is not None:
        return _run_all(sets, embedder, settings)
    with open_models(settings) as opened:
        return _run_all(sets, opened, settings)


def _run_all(sets: Sequence[JudgedSet], embedder: Embedder, settings: Settings) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    for judged in sets:
        with ingested(judged.texts, embedder, settings, label=judged.name) as corpus:
            for name, wishes in RUNS.items():
                retrieval = corpus.late if name == LateInteraction.name else corpus.served
                measured = {"name": name, **measure(judged, retrieval, settings, wishes)}
                runs.append(measured if len(sets) == 1 else {"set": judged.name, **measured})
    return {
        "runs": runs,
        "documents": sum(len(judged.texts) for judged in sets),
        "queries": sum(len(judged.queries) for judged in sets),
        "tuned": TUNED,
    }


def measure(judged: JudgedSet, served: Retrieval, settings: Settings, wishes: Mapping[str, Any]) -> dict[str, float]:
    """One run over all questions. Quality from searches for CHUNKS hits, latency from searches for 10."""
    retrieval = replace(served, defaults=Defaults.of(of_settings(settings)))
    gains, recalls, seconds = [], [], []
    for number, (key, text) in enumerate(judged.queries.items()):
        grades = judged.judgements[key]
        ranked = ranking(retrieval, text, wishes)
        gains.append(ndcg(ranked[:10], grades))
        recalls.append(len(set(ranked[:100]) & grades.keys()) / len(grades))
        if number < TIMED:
            start = time.perf_counter()
            search(Query(text, COLLECTION, k=10, **wishes), retrieval)
            if number >= WARM_UP or len(judged.queries) <= WARM_UP:
                seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    untuned = gains[1::2] if judged.name in TUNED_SETS and len(gains) > 1 else gains
    return {
        "ndcg@10": round(float(np.mean(gains)), 4),
        "untuned ndcg@10": round(float(np.mean(untuned)), 4),
        "recall@100": round(float(np.mean(recalls)), 4),
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
    }


def ranking(retrieval: Retrieval, text: str, wishes: Mapping[str, Any]) -> list[str]:
    """Document ids, each at the place of its best chunk."""
    found = search(Query(text, COLLECTION, k=CHUNKS, **wishes), retrieval)
    return list(dict.fromkeys(hit.chunk.source for hit in found.hits))


def ndcg(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """Järvelin, Kekäläinen 2002 with linear gain, as trec_eval and BEIR compute it."""
    gain = sum(grades.get(item, 0) / math.log2(place + 1) for place, item in enumerate(ranked, 1))
    best = sorted(grades.values(), reverse=True)[:10]
    return gain / sum(grade / math.log2(place + 1) for place, grade in enumerate(best, 1))


def read_set(folder: Path, split: str) -> JudgedSet:
    """Raises InvalidRequest for a file that is missing or is not what it should be."""
    judgements = _judgements(folder / "qrels" / f"{split}.tsv")
    texts = read_texts(folder / "corpus.jsonl")
    asked = _rows(folder / "queries.jsonl")
    queries = {str(row["_id"]): str(row["text"]) for row in asked if str(row["_id"]) in judgements}
    if not texts or not queries:
        raise InvalidRequest(f"{folder} has no judged questions for the split {split!r}.", code="no_data", hint=HINT)
    return JudgedSet(folder.name, texts, queries, judgements)


def _folders(data: Path, split: str) -> list[Path]:
    if (data / "corpus.jsonl").is_file():
        return [data]
    found = sorted(path.parent.parent for path in data.glob(f"*/qrels/{split}.tsv")) if data.is_dir() else []
    if not found:
        raise InvalidRequest(f"There is no data set in {data}.", code="no_data", hint=HINT)
    return found


def read_texts(corpus: Path) -> list[Text]:
    """The documents of a `corpus.jsonl`. Raises InvalidRequest for a file that is not one."""
    return [_text(row) for row in _rows(corpus)]


def _text(row: Mapping[str, Any]) -> Text:
    """A document that is a title alone has that title as its text, too."""
    title, text = str(row.get("title") or ""), str(row.get("text") or "")
    return Text(str(row["_id"]), title, text if text.strip() else title)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                        row["_id"]
                    except (ValueError, KeyError, TypeError) as error:
                        message = f"{path}, line {number}: not an object with `_id`."
                        raise InvalidRequest(message, code="bad_data", hint=HINT) from error
                    yield row
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8: {error}.", code="bad_data", hint=HINT) from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error


def _judgements(path: Path) -> Judgements:
    try:
        lines = path.read_text("utf-8").splitlines()[1:]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    judged: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines, 2):
        if line.strip():
            try:
                query, document, grade = line.split("\t")
                if int(grade) > 0:
                    judged.setdefault(query, {})[document] = int(grade)
            except ValueError as error:
                message = f"{path}, line {number}: not query, document, grade."
                raise InvalidRequest(message, code="bad_data", hint=HINT) from error
    return judged
