"""Load: questions over HTTP against a real server process, cached and not, by a small client that costs little itself.

The client is closed-loop (each of N connections sends the next request when the last answer is complete) and shares the
host with the server, so figures are what both together can do here.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import psutil
import uvloop

from appliance.config import Settings
from appliance.paths import HANDBOOK, DataPaths
from bench.retrieval import read_texts

START_S = 60.0
INGEST_S = 1800.0
CACHED_QUESTIONS = 20
WORDS = 9  # of an uncached question
TAKEN_OVER = (  # settings of the server that is started
    *("embedder", "generator", "generator_slots", "generator_queue", "context_tokens", "threads", "abstain_below"),
    *("exact_scan_below", "chunk_tokens", "query_timeout_s"),
)


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


class _Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; `ask` sends a prepared request and gives the status of its answer."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class derives from no other

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    async def ask(self, request: bytes) -> int:
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


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
    prepared = [_request(url, key, path, question) for question in questions]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(url, prepared, name, clients, seconds, repeat))


async def _load(url: str, prepared: list[bytes], name: str, clients: int, seconds: float, repeat: bool) -> LoadRun:
    latencies: list[float] = []
    errors = [0]
    supply = _supply(prepared, repeat)
    start = time.perf_counter()
    end = start + seconds
    await asyncio.gather(*(_client(url, supply, end, latencies, errors) for _ in range(clients)))
    took = time.perf_counter() - start
    latencies.sort()
    p50, p95, p99 = (_quantile(latencies, share) * 1000 for share in (0.5, 0.95, 0.99))
    rate = len(latencies) / took
    return LoadRun(name, len(latencies), round(rate, 1), round(p50, 3), round(p95, 3), round(p99, 3), errors[0])


async def _client(url: str, supply: Iterator[bytes], end: float, latencies: list[float], errors: list[int]) -> None:
    parts = urlsplit(url)
    connection: _Connection | None = None
    for request in supply:
        if time.perf_counter() >= end or errors[0] > 1000:
            break
        try:
            if connection is None:
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(_Connection, str(parts.hostname), parts.port or 80)
            started = time.perf_counter()
            status = await connection.ask(request)
        except OSError:
            errors[0] += 1
            connection = None
            continue
        if status == 200:
            latencies.append(time.perf_counter() - started)
        else:
            errors[0] += 1
    if connection is not None:
        connection.close()


def _supply(prepared: list[bytes], repeat: bool) -> Iterator[bytes]:
    while True:
        yield from prepared
        if not repeat:
            return


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _request(url: str, key: str, path: str, question: str) -> bytes:
    body = json.dumps(
        {"question": question, "mode": "extractive"} if path == "/query" else {"question": question}
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def bench_load(settings: Settings, folder: Path | None = None, *, seconds: float = 5.0) -> dict[str, Any]:
    """Start a server on a fresh data directory, ingest `folder` (the handbook when none), and measure.

    A data set in BEIR form, or a folder of such sets, is written out as one file a document first. Uses the models of
    `settings`; its data directory is left alone. Returns {"runs": […], "documents", "passages"}.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rag-bench-") as scratch,
        tempfile.TemporaryDirectory(prefix="rag-bench-") as data,
        server(Path(data), settings) as (url, key),
    ):
        documents, passages = _ingest(url, key, _documents(folder or HANDBOOK, Path(scratch)))
        texts = _texts(url, key)
        fresh = _questions(texts, 4000, seed=1)
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
    shown = [{name: getattr(one, name) for name in LoadRun.__dataclass_fields__} for one in runs]
    return {"runs": shown, "documents": documents, "passages": passages}


@contextmanager
def server(data: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """A server process on `data` and a free port; gives its url and a key, and stops it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_APPLIANCE_")}
    for name in TAKEN_OVER:
        environment[f"RAG_APPLIANCE_{name.upper()}"] = str(getattr(settings, name))
    environment["RAG_APPLIANCE_LOG_FORMAT"] = "json"
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data-dir", str(data)]
    with (data / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield _address(DataPaths(data).server, process, data / "server.log")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def running_process(paths: DataPaths) -> psutil.Process:
    """The server that works on a data directory."""
    return psutil.Process(json.loads(paths.server.read_text("utf-8"))["pid"])


def _address(path: Path, process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    """Raises RuntimeError with the end of its log when the server does not come up."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            _call(found["url"], found["key"], "/health")
            return str(found["url"]), str(found["key"])
        except (OSError, ValueError, RuntimeError):
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _call(url: str, key: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{path}: {error.code}: {error.read(2000).decode(errors='replace')}") from None


def _documents(folder: Path, scratch: Path) -> Path:
    """The folder itself, or `scratch` with the texts of the data sets in it."""
    sets = sorted({*folder.glob("corpus.jsonl"), *folder.glob("*/corpus.jsonl")})
    if not sets:
        return folder
    for corpus in sets:
        (scratch / corpus.parent.name).mkdir(parents=True)
        for number, text in enumerate(read_texts(corpus)):
            content = f"# {text.title}\n\n{text.text}\n" if text.title else text.text
            (scratch / corpus.parent.name / f"{number}.md").write_text(content, encoding="utf-8")
    return scratch


def _ingest(url: str, key: str, folder: Path) -> tuple[int, int]:
    """Ingest and wait; -> (documents, passages). Raises RuntimeError when it fails."""
    task = _call(url, key, "/ingest", {"directory": str(folder.resolve()), "label": "bench"})["task_id"]
    end = time.monotonic() + INGEST_S
    while time.monotonic() < end:
        status = _call(url, key, f"/tasks/{task}")
        if status["state"] == "SUCCESS":
            found = _call(url, key, "/collections")["collections"]
            return sum(one["documents"] for one in found), sum(one["chunks"] for one in found)
        if status["state"] == "FAILURE":
            raise RuntimeError(f"Ingestion failed: {status['error']}")
        time.sleep(0.2)
    raise RuntimeError(f"Ingestion did not finish within {INGEST_S:g} s.")


def _texts(url: str, key: str) -> list[str]:
    listed = _call(url, key, "/documents?limit=200")["documents"]
    return [_call(url, key, f"/documents/{one['id']}/text?end=50000")["text"] for one in listed]


def _questions(texts: Sequence[str], count: int, *, seed: int) -> list[str]:
    """Different runs of words from the documents: questions that hold, but are all new to the cache."""
    chance = random.Random(seed)
    words = [found for text in texts if len(found := text.split()) > WORDS]
    if not words:
        raise RuntimeError("The folder holds no text to make questions of.")
    made: dict[str, None] = {}
    for _ in range(count * 3):
        if len(made) >= count:
            break
        source = chance.choice(words)
        start = chance.randrange(len(source) - WORDS)
        made[" ".join(source[start : start + WORDS])] = None
    return list(made)
