"""`bench conversation`: whether the last question of a conversation finds its passages, as it was asked and condensed.

The data are tasks in the form of MT-RAG: the turns of a conversation and the passages that its last question needs. The
passages of all tasks are stored together, each a document. Of every second task, in the order of their ids, those that
need a passage and have a history are reported; the constants of `appliance.search.condense` were chosen on the others.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.search import search, stand_alone
from appliance.types import Embedder, Query, Turn
from bench.corpus import COLLECTION, Corpus, Text, ingested, open_models

HINT = "Name the folder that holds MT-RAG's tasks.jsonl."
DEPTH = 30  # hits looked at: several may be of one passage


@dataclass(frozen=True, slots=True)
class Task:
    """A question, what was said before it, and the sources of the passages it needs; both may be empty."""

    question: str
    history: tuple[Turn, ...]
    needed: frozenset[str]


def run(data: Path, settings: Settings, *, embedder: Embedder | None = None) -> dict[str, Any]:
    """{"runs": [{"name", "recall@5", "recall@10", "mrr@10", "changed"}], "documents", "queries"}: shares from 0 to 1.

    Raises InvalidRequest.
    """
    texts, tasks = read_tasks(data)
    reported = [task for task in tasks[::2] if task.needed and task.history]
    with ExitStack() as parts:
        model = embedder or parts.enter_context(open_models(settings))
        corpus = parts.enter_context(ingested(texts, model, settings, label="passages"))
        ways: Mapping[str, Callable[[Query], Query]] = {
            "as asked": lambda query: query,
            "behind the question before": lambda query: _behind(query),
            "condensed": lambda query: stand_alone(query, corpus.store),
        }
        runs = [_measured(name, way, reported, corpus) for name, way in ways.items()]
    return {"runs": runs, "documents": len(texts), "queries": len(reported)}


def _behind(query: Query) -> Query:
    return Query(f"{query.history[-1].question} {query.text}", query.collection, k=query.k)


def _measured(name: str, way: Callable[[Query], Query], tasks: Sequence[Task], corpus: Corpus) -> dict[str, Any]:
    recalls: dict[int, list[float]] = {5: [], 10: []}
    reciprocal, changed = [], []
    for task in tasks:
        asked = Query(task.question, COLLECTION, k=DEPTH, history=task.history)
        query = way(asked)
        found = search(query, corpus.retrieval)
        order = list(dict.fromkeys(hit.chunk.source for hit in found.hits))
        for depth, shares in recalls.items():
            shares.append(len(task.needed.intersection(order[:depth])) / len(task.needed))
        first = next((rank for rank, source in enumerate(order[:10], 1) if source in task.needed), None)
        reciprocal.append(1 / first if first else 0.0)
        changed.append(query.text != asked.text)
    means = {f"recall@{depth}": round(float(np.mean(shares)), 4) for depth, shares in recalls.items()}
    return {"name": name, **means, "mrr@10": round(float(np.mean(reciprocal)), 4), "changed": sum(changed)}


def read_tasks(data: Path) -> tuple[list[Text], list[Task]]:
    """All passages, and the tasks by their ids. Raises InvalidRequest."""
    path = data / "tasks.jsonl" if data.is_dir() else data
    try:
        lines = path.read_text("utf-8").splitlines()
        rows = sorted((json.loads(line) for line in lines if line.strip()), key=lambda row: str(row["task_id"]))
        texts = {item["document_id"]: item["text"] for row in rows for item in row["contexts"]}
        tasks = [_task(row) for row in rows]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidRequest(f"{path} is not in the form of MT-RAG.", code="bad_data", hint=HINT) from error
    return [Text(source, "", text) for source, text in texts.items()], tasks


def _task(row: Mapping[str, Any]) -> Task:
    turns: list[Turn] = []
    for message in row["input"][:-1]:
        if message["speaker"] == "user":
            turns.append(Turn(message["text"]))
        elif turns:
            turns[-1] = Turn(turns[-1].question, message["text"])
    return Task(row["input"][-1]["text"], tuple(turns), frozenset(item["document_id"] for item in row["contexts"]))
