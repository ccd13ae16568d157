"""`bench scale`: search over up to a million passages, through the real store, index, search function and server.

What is compared with what: keyword search with the full scan that scores every row, the graph with a scan of every
vector, memory with a server on an empty data directory. Latencies are of one client.
"""

import json
import random
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import HANDBOOK, DataPaths
from appliance.search import search
from appliance.types import Comparison, Embedder, Filter, Matrix, Query
from bench import load, made, serving
from bench.corpus import Text, open_models
from bench.made import COLLECTION, Opened, shown
from bench.retrieval import read_texts
from bench.synthetic import SHELVES

SIZES = (100_000, 1_000_000)
PARTS = ("latency", "overlap", "recall", "filters", "server")
K, WARM_UP = 10, 20  # hits asked for; questions asked before the clock starts
TIE = 1e-6  # scores this close are the same: made passages may share all their sentences
LATENCY_QUESTIONS, OVERLAP_QUESTIONS, RECALL_QUESTIONS, FILTER_QUESTIONS = 300, 100, 200, 50
SERVER_S, READY_S = 180.0, 120.0
HANDBOOK_QUESTION_WORDS = 12
FILTERS: dict[str, Filter] = {"few": Comparison("shelf", "=", 7), "half": Comparison("half", "=", "a")}
NOTES = (
    "Texts are runs of sentences of real passages, two or three about the same thing in one; so words and their "
    "frequencies are real, the passages are not.",
    "A passage's vector is the normalised mean of its sentences' late-chunked vectors; vector_cosine is the mean "
    "cosine with what the model gives a sample of the texts.",
    f"few: filter that 1 in {SHELVES} passages passes; half: one that every second passes.",
    "lexical_overlap, recall@10: of the first ten by a scan of everything, how many are found, or ones of equal score.",
)


def run(
    data: Path | None,
    settings: Settings,
    *,
    passages: Sequence[int] = SIZES,
    keep: Path | None = None,
    split: str = "report",
    parts: Sequence[str] = PARTS,
    embedder: Embedder | None = None,
) -> dict[str, Any]:
    """{"runs": [one row of figures for each size], "base_passages", "questions", "split", "notes"}.

    `parts` of PARTS are measured. `split` takes one half of the questions: "tune" to look at while changing something,
    "report" for results. With `keep` the made data directories stay there and serve later runs. Raises DiskFull,
    InvalidRequest, ModelError.
    """
    texts, questions = read_data(data)
    asked = half(questions, split)
    with _folder(keep) as folder:
        made.check_room(folder, max(passages))
        if embedder is not None:
            return _run(folder, texts, asked, passages, settings, embedder, split, parts)
        with open_models(settings) as model:
            return _run(folder, texts, asked, passages, settings, model, split, parts)


def read_data(data: Path | None) -> tuple[list[Text], list[str]]:
    """Texts and questions of all data sets in a folder; without one the handbook, asked with its own sentences.

    Raises InvalidRequest when there is none.
    """
    if data is None:
        texts = [Text(path.name, path.stem, path.read_text(encoding="utf-8")) for path in sorted(HANDBOOK.glob("*.md"))]
        return texts, [
            " ".join(words[:HANDBOOK_QUESTION_WORDS])
            for text in texts
            for line in text.text.split(". ")
            if len(words := line.split()) >= HANDBOOK_QUESTION_WORDS
        ]
    sets = sorted({*data.glob("corpus.jsonl"), *data.glob("*/corpus.jsonl")})
    texts = [text for corpus in sets for text in read_texts(corpus)]
    questions = [question.text for corpus in sets for question in read_texts(corpus.with_name("queries.jsonl"))]
    if not texts or not questions:
        raise InvalidRequest(
            f"There is no data set in {data}.",
            code="no_data",
            hint="Name a folder with corpus.jsonl and queries.jsonl (BEIR form), or a folder of such folders.",
        )
    return texts, questions


def half(questions: Sequence[str], split: str) -> list[str]:
    """Every question is in one of the halves "tune" and "report", shuffled."""
    shuffled = sorted(set(questions))
    random.Random(1).shuffle(shuffled)
    return shuffled[::2] if split == "tune" else shuffled[1::2]


def _run(
    folder: Path,
    texts: list[Text],
    questions: list[str],
    passages: Sequence[int],
    settings: Settings,
    embedder: Embedder,
    split: str,
    parts: Sequence[str],
) -> dict[str, Any]:
    name, base = made.kept_base(texts, folder, embedder, settings.chunk_tokens)
    empty_bytes = _empty_server(folder / "empty", questions, settings) if "server" in parts else None
    runs = []
    for count in passages:
        manifest = made.make(folder / str(count), count, name, base, embedder, settings)
        runs.append(_size(folder / str(count), manifest, questions, settings, embedder, empty_bytes, parts))
    return {
        "runs": runs,
        "base_passages": base.passages,
        "questions": len(questions),
        "split": split,
        "base_rss_bytes": empty_bytes,
        "notes": list(NOTES),
    }


def _size(
    folder: Path,
    manifest: made.Manifest,
    questions: list[str],
    settings: Settings,
    embedder: Embedder,
    empty_bytes: int | None,
    parts: Sequence[str],
) -> dict[str, Any]:
    count = manifest.passages
    inside: dict[str, float] = {}
    if set(parts) - {"server"}:
        with made.opened(folder, embedder, settings) as opened:
            for part in parts:
                inside |= INSIDE[part](opened, questions) if part in INSIDE else {}
    return {
        "name": f"{count:,} passages",
        "passages": count,
        **{key: round(value, 4) for key, value in inside.items()},
        **({} if empty_bytes is None else _served(folder, count, questions, settings, empty_bytes)),
        "disk_bytes_per_passage": round(made.disk_bytes(folder) / count),
        "rows_written_per_s": _rounded(manifest.rows_per_s),
        "vectors_indexed_per_s": _rounded(manifest.vectors_per_s),
        "vector_cosine": None if manifest.closeness is None else round(manifest.closeness, 4),
    }


def _served(folder: Path, count: int, questions: Sequence[str], settings: Settings, empty: int) -> dict[str, float]:
    served = server(folder, questions[:LATENCY_QUESTIONS], settings)
    return {
        "server_search_p50_ms": served["p50_ms"],
        "server_search_p95_ms": served["p95_ms"],
        "memory_bytes_per_passage": round((served["rss_bytes"] - empty) / count),
        "ready_s": round(served["ready_s"], 2),
    }


def latencies(opened: Opened, questions: Sequence[str]) -> dict[str, float]:
    """p50 and p95 in milliseconds of whole searches and of their stages, and how often keywords were provably exact."""
    for question in questions[:WARM_UP]:
        search(Query(question, COLLECTION, k=K), opened.retrieval)
    spent: dict[str, list[float]] = {}
    exact = 0
    with shown("Searching", len(questions)) as (_, advance):
        for question in questions:
            began = time.perf_counter()
            result = search(Query(question, COLLECTION, k=K), opened.retrieval)
            spent.setdefault("search", []).append((time.perf_counter() - began) * 1000)
            for stage, milliseconds in result.timings.items():
                spent.setdefault(stage, []).append(milliseconds)
            exact += result.lexical_exact
            advance(1)
    found = {"lexical_exact": exact / len(questions)}
    for stage, values in spent.items():
        found |= _quantiles(stage, values)
    return found


def overlap(opened: Opened, questions: Sequence[str]) -> float:
    """Mean share of the full scan's first K that two-phase search gives as well, or rows of the same score."""
    shares = []
    with shown("Comparing with the full scan", len(questions)) as (_, advance):
        for question in questions:
            whole = opened.store.lexical.full_scan(COLLECTION, question, K).rows
            rows = opened.store.lexical.search(COLLECTION, question, K).rows
            if whole:
                least = whole[-1][1] - TIE
                shares.append(sum(score >= least for _, score in rows) / len(whole))
            advance(1)
    return float(np.mean(shares)) if shares else 1.0


def recall(opened: Opened, questions: Sequence[str]) -> float:
    """recall@K of the index against a scan of every stored vector, all questions together, some vectors at a time."""
    asked: Matrix = np.array([opened.embedder.embed_query(question) for question in questions])
    scores: Matrix = np.empty((len(asked), 0), dtype=np.float32)
    with shown("Comparing with every vector", opened.index.status().vectors) as (_, advance):
        for some, vectors in opened.store.documents.vector_source(COLLECTION).vectors(0):
            scores = np.concatenate([scores, asked @ vectors.T], axis=1)
            top = np.argpartition(-scores, min(K, scores.shape[1]) - 1, axis=1)[:, :K]
            scores = np.take_along_axis(scores, top, axis=1)
            advance(len(some))
    shares = []
    for vector, best in zip(asked, scores, strict=True):
        least = float(best.min()) - TIE
        shares.append(sum(cosine >= least for _, cosine in opened.index.search(vector, K)) / len(best))
    return float(np.mean(shares))


def filtered(opened: Opened, questions: Sequence[str]) -> dict[str, float]:
    """p50 and p95 of whole searches within few and within half of the passages."""
    found: dict[str, float] = {}
    for name, condition in FILTERS.items():
        values = []
        with shown(f"Searching with a filter ({name})", len(questions)) as (_, advance):
            for question in questions:
                began = time.perf_counter()
                search(Query(question, COLLECTION, k=K, filters=condition), opened.retrieval)
                values.append((time.perf_counter() - began) * 1000)
                advance(1)
        found |= _quantiles(f"filter_{name}", values)
    return found


INSIDE: Mapping[str, Callable[[Opened, Sequence[str]], dict[str, float]]] = {
    "latency": lambda opened, questions: latencies(opened, questions[:LATENCY_QUESTIONS]),
    "overlap": lambda opened, questions: {"lexical_overlap": overlap(opened, questions[:OVERLAP_QUESTIONS])},
    "recall": lambda opened, questions: {"recall@10": recall(opened, questions[:RECALL_QUESTIONS])},
    "filters": lambda opened, questions: filtered(opened, questions[:FILTER_QUESTIONS]),
}


def server(folder: Path, questions: Sequence[str], settings: Settings) -> dict[str, float]:
    """A fresh server process on the folder: seconds until ready, latency of POST /search, resident memory after it.

    Raises RuntimeError when it does not start or answers with errors.
    """
    began = time.perf_counter()
    with serving.server(folder, settings) as (url, key):
        while not _ready(url):
            if time.perf_counter() - began > READY_S:
                raise RuntimeError(f"The server on {folder} was not ready within {READY_S:g} s.")
            time.sleep(0.05)
        ready_s = time.perf_counter() - began
        process = psutil.Process(json.loads(DataPaths(folder).server.read_text(encoding="utf-8"))["pid"])
        ask: Callable[..., load.LoadRun] = lambda asked: load.run(  # noqa: E731
            url, key, name="search", questions=asked, clients=1, seconds=SERVER_S, path="/search", repeat=False
        )
        ask(questions[:WARM_UP])
        measured = ask(questions)
        rss_bytes = process.memory_info().rss
    if measured.errors:
        raise RuntimeError(f"{measured.errors} of the searches over HTTP failed.")
    return {"ready_s": ready_s, "p50_ms": measured.p50_ms, "p95_ms": measured.p95_ms, "rss_bytes": float(rss_bytes)}


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def _empty_server(folder: Path, questions: Sequence[str], settings: Settings) -> int:
    """Resident bytes of a server that has nothing to search."""
    folder.mkdir(exist_ok=True)
    return int(server(folder, questions, settings)["rss_bytes"])


def _quantiles(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {f"{name}_p50_ms": float(p50), f"{name}_p95_ms": float(p95)}


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        yield Path(folder)
