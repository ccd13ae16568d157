"""Questions in a closed loop over HTTP, cached and not: each of N clients asks again when its answer is complete.

The client shares the host with the server, so figures are what both together can do here. `bench.scenarios` has the
loads at a stated rate.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from appliance.config import Settings
from appliance.paths import HANDBOOK
from bench.client import Load, closed_loop, supply
from bench.serving import fill, scratch, server, texts, word_questions
from bench.wire import post

CACHED_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One measurement; latencies in milliseconds, `errors` counts answers other than 200 and lost connections."""

    name: str
    requests: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def run(
    url: str,
    key: str,
    *,
    name: str,
    questions: Sequence[str],
    clients: int,
    seconds: float,
    path: str = "/query",
    repeat: bool = True,
) -> LoadRun:
    """Ask `questions` over and over (or once each, without `repeat`) from `clients` connections for `seconds`."""
    prepared = [post(url, key, path, body_of(question, path)) for question in questions]
    load = Load(url)

    async def all_of_them() -> None:
        load.since = time.perf_counter()
        await closed_loop(load, supply(prepared, repeat), clients, seconds)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_them())
    rate = load.latencies.count / max(load.done - load.since, 1e-9)
    told = load.latencies.summary()
    return LoadRun(
        name, load.latencies.count, round(rate, 1), told["p50_ms"], told["p95_ms"], told["p99_ms"], load.failed
    )


def body_of(question: str, path: str, collection: str = "default", mode: str = "extractive") -> dict[str, Any]:
    """The body of a search, or of a question for an answer of that mode."""
    body = {"question": question, "collection": collection}
    return body if path == "/search" else {**body, "mode": mode}


def bench_load(settings: Settings, folder: Path | None = None, *, seconds: float = 5.0) -> dict[str, Any]:
    """Start a server on a fresh data directory, ingest `folder` (the handbook when none), and measure.

    A data set in BEIR form, or a folder of such sets, is taken in as one file a document. Uses the models of
    `settings`; its data directory is left alone. Returns {"runs": […], "documents", "passages"}.
    """
    with scratch() as data, server(data, settings) as (url, key):
        documents, passages = fill(url, key, folder or HANDBOOK)
        fresh = word_questions(texts(url, key), 4000, seed=1)
        cached = fresh[:CACHED_QUESTIONS]
        run(url, key, name="prime", questions=cached, clients=1, seconds=60, repeat=False)
        runs = [
            run(url, key, name="cached, 1 client", questions=cached, clients=1, seconds=seconds),
            run(url, key, name="cached, 32 clients", questions=cached, clients=32, seconds=seconds),
            run(
                url,
                key,
                name="uncached extractive, 1 client",
                questions=fresh[CACHED_QUESTIONS:],
                clients=1,
                seconds=seconds,
                repeat=False,
            ),
        ]
    return {"runs": [asdict(one) for one in runs], "documents": documents, "passages": passages}
