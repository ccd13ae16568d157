"""A server process for the benchmarks: started on data of its own, filled over HTTP, stopped at the end."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import psutil

from appliance.config import Settings, bare_environment
from appliance.errors import InvalidRequest
from appliance.paths import PACKAGE, DataPaths
from bench.retrieval import read_texts

START_S = 60.0
INGEST_S = 7200.0
READ_DOCUMENTS = 400  # whose texts questions are made of
READ_CHARACTERS = 50_000  # of each
WORDS = 9  # of a question made of a document's words
BATCH = 250  # documents taken in together, where a number of passages is wanted
TAKEN_OVER = (  # settings of the server that is started
    *("embedder", "generator", "generator_slots", "generator_queue", "context_tokens", "threads", "abstain_below"),
    *("exact_scan_below", "chunk_tokens", "query_timeout_s"),
)


@contextmanager
def server(data: Path, settings: Settings, **others: object) -> Iterator[tuple[str, str]]:
    """A server process on `data` and a free port; gives its url and a key, and stops it at the end.

    It has the models and limits of `settings`, and the settings of `others` beside. Raises RuntimeError with the end of
    its log when it does not come up.
    """
    chosen = {name: getattr(settings, name) for name in TAKEN_OVER} | {"log_format": "json"} | others
    environment = bare_environment() | {"PYTHONPATH": str(PACKAGE.parent)}
    environment |= {f"RAG_APPLIANCE_{name.upper()}": str(value) for name, value in chosen.items()}
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


def listening_process(url: str) -> psutil.Process | None:
    """The process of this host that listens where `url` says; None when it is elsewhere, or another user's."""
    port = urlsplit(url).port or 80
    try:
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:
        return None
    return next((psutil.Process(one.pid) for one in found if one.pid and one.laddr and one.laddr.port == port), None)


def _address(path: Path, process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            call(found["url"], found["key"], "/health")
            return str(found["url"]), str(found["key"])
        except (OSError, ValueError, RuntimeError):
            time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def call(url: str, key: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that a route answers. Raises RuntimeError with its problem, OSError when nobody answers."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{path}: {error.code}: {_told(error)}") from None


def _told(error: urllib.error.HTTPError) -> str:
    """What a problem says, else the beginning of the answer."""
    text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, LookupError, TypeError):
        return text


def ingest(url: str, key: str, folder: Path) -> tuple[int, int]:
    """Take in a folder and wait; -> (documents, passages) of the server. Raises RuntimeError when it fails."""
    task = call(url, key, "/ingest", {"directory": str(folder.resolve()), "label": "bench"})["task_id"]
    end = time.monotonic() + INGEST_S
    while time.monotonic() < end:
        status = call(url, key, f"/tasks/{task}")
        if status["state"] == "SUCCESS":
            return held(url, key)
        if status["state"] == "FAILURE":
            raise RuntimeError(f"Ingestion failed: {status['error']}")
        time.sleep(0.2)
    raise RuntimeError(f"Ingestion did not finish within {INGEST_S:g} s.")


def held(url: str, key: str, collection: str | None = None) -> tuple[int, int]:
    """(documents, passages) of a collection, or of all."""
    found = [one for one in call(url, key, "/collections")["collections"] if collection in (None, one["name"])]
    return sum(one["documents"] for one in found), sum(one["chunks"] for one in found)


def fill(url: str, key: str, folder: Path, passages: int | None = None) -> tuple[int, int]:
    """Take in `folder`; data sets in BEIR form below it only until there are so many passages, a part of each set.

    -> (documents, passages). Raises InvalidRequest for a folder without documents.
    """
    corpora = sets(folder)
    if not corpora:
        counts = ingest(url, key, folder)
        if not counts[1]:
            hint = "Name a folder of documents, or of data sets in BEIR form (corpus.jsonl)."
            raise InvalidRequest(f"There is nothing to read in {folder}.", code="no_data", hint=hint)
        return counts
    texts = [(number / max(1, len(read)), corpus.parent.name, number, text)
             for corpus in corpora for read in [read_texts(corpus)] for number, text in enumerate(read)]  # fmt: skip
    texts.sort(key=lambda item: item[:3])  # as much of each set as of the others, at any point
    counts, size = (0, 0), len(texts) if passages is None else BATCH
    with scratch() as written:
        for start in range(0, len(texts), size):
            part = written / str(start)
            for _, name, number, text in texts[start : start + size]:
                (part / name).mkdir(parents=True, exist_ok=True)
                content = f"# {text.title}\n\n{text.text}\n" if text.title else text.text
                (part / name / f"{number}.md").write_text(content, encoding="utf-8")
            counts = ingest(url, key, part)
            if passages is not None and counts[1] >= passages:
                break
    return counts


def sets(folder: Path) -> list[Path]:
    """The corpus.jsonl of each data set that a folder is or holds."""
    return sorted({*folder.glob("corpus.jsonl"), *folder.glob("*/corpus.jsonl")})


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder. (Not TemporaryDirectory: a server that was killed may still be writing into it.)"""
    folder = Path(tempfile.mkdtemp(prefix="rag-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copied(source: Path, target: Path) -> None:
    """A copy of a data directory that can serve, also while a server works on it: database, index, models.

    Raises InvalidRequest (no_data) when it is none.
    """
    before, after = DataPaths(source), DataPaths(target)
    if not before.database.is_file():
        raise InvalidRequest(
            f"{source} is not an appliance's data directory.", code="no_data", hint="Name it with --data-dir."
        )
    after.create()
    with (
        contextlib.closing(apsw.Connection(str(before.database), flags=apsw.SQLITE_OPEN_READONLY)) as original,
        contextlib.closing(apsw.Connection(str(after.database))) as copy,
        copy.backup("main", original, "main") as backup,
    ):
        while not backup.done:
            backup.step(4096)
    after.database.chmod(0o600)
    with contextlib.closing(apsw.Connection(str(after.database))) as copy:
        copy.pragma("foreign_keys", True)
        copy.execute("DELETE FROM tasks WHERE finished_at IS NULL")  # nothing is taken in twice
    for name in ("index", "models", "prompts"):
        with contextlib.suppress(FileNotFoundError, shutil.Error):  # a generation may be replaced meanwhile
            shutil.copytree(source / name, target / name, dirs_exist_ok=True, copy_function=_linked)


def _linked(source: str, target: str) -> None:
    """Files there are replaced, never written into, so both directories may have the same; else they are copied."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def texts(url: str, key: str, collection: str | None = None) -> list[str]:
    """Of up to READ_DOCUMENTS documents, evenly out of a server's collections, or of one."""
    asked = f"&collection={collection}" if collection else ""
    ids: list[int] = []
    after: int | None = 0
    while after is not None:
        page = call(url, key, f"/documents?limit=1000&after={after}{asked}")
        ids += [one["id"] for one in page["documents"]]
        after = page["next"]
    step = max(1, len(ids) // READ_DOCUMENTS)
    return [call(url, key, f"/documents/{one}/text?end={READ_CHARACTERS}")["text"] for one in ids[::step]]


def word_questions(texts: Sequence[str], count: int, *, seed: int, words: int = WORDS) -> list[str]:
    """Different runs of words from the documents: questions that hold, but are all new to the cache.

    Fewer where the texts are too short for so many. Raises RuntimeError without any text.
    """
    chance = random.Random(seed)
    sources = [found for text in texts if len(found := text.split()) > words]
    if not sources:
        raise RuntimeError("The folder holds no text to make questions of.")
    made: dict[str, None] = {}
    for _ in range(count * 3):
        if len(made) >= count:
            break
        source = chance.choice(sources)
        start = chance.randrange(len(source) - words)
        made[" ".join(source[start : start + words])] = None
    return list(made)
