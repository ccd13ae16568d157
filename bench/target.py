"""What a load is put on: a server that runs already, or one of its own on given texts, on a copy of a data directory,
or on the handbook; and the questions that it is asked.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import HANDBOOK, DataPaths
from bench.arrivals import POOL
from bench.handbook_questions import QUESTIONS
from bench.retrieval import read_texts
from bench.scenarios import Target
from bench.serving import (
    WORDS,
    copied,
    fill,
    held,
    listening_process,
    running_process,
    scratch,
    server,
    sets,
    texts,
    word_questions,
)

MOST_WORDS = 24  # of a question that is made
DRAWN = 5_000  # questions made at a time: of those left to few texts most were given before
FEW_PASSAGES = 2_000  # below, latencies say little about a collection of ordinary size


@dataclass(frozen=True, slots=True)
class Source:
    """Where the load goes: `url` and `key` of a running server; else texts in `data`, of which `passages` are taken in;
    else the data directory of the settings; `collection` is asked. `questions` is a file of the operator's own.
    """

    url: str = ""
    key: str = ""
    data: Path | None = None
    passages: int | None = None
    collection: str = "default"
    questions: Path | None = None


@dataclass(slots=True)
class Fresh:
    """New questions: first the real ones in `ready`, then runs of words of the documents. Gives none twice."""

    texts: Sequence[str]
    ready: list[str] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    words: int = WORDS  # of a run; more when all runs of so many are nearly used up
    seed: int = 0

    def __call__(self, count: int) -> list[str]:
        self.prepare(count)
        taken, self.ready = self.ready[:count], self.ready[count:]
        return taken

    def prepare(self, count: int) -> None:
        """Have so many ready. Raises InvalidRequest where the documents do not hold them."""
        most = min(MOST_WORDS, max((len(text.split()) for text in self.texts), default=0) - 1)
        while (wanted := count - len(self.ready)) > 0:
            if self.words > most:
                raise InvalidRequest(
                    f"The documents hold too few words for {count} different questions.", code="too_few_texts",
                    hint="Take more documents in, or ask for a shorter run.",
                )  # fmt: skip
            self.seed += 1
            drawn = word_questions(self.texts, max(DRAWN, 2 * wanted), seed=self.seed, words=self.words)
            new = [one for one in drawn if one not in self.given][:wanted]
            self.given.update(new)
            self.ready += new
            self.words += len(new) < wanted


@dataclass(frozen=True, slots=True)
class Site:
    """Data that servers can be started on, or a server that runs already; what it holds; and its questions."""

    source: Source
    settings: Settings
    data: Path | None
    documents: int
    passages: int
    texts: Sequence[str]
    pool: Sequence[str]
    fresh: Fresh  # shared by all targets: what one was asked lies in the cache of the next
    told: str

    @contextmanager
    def target(self, **others: object) -> Iterator[Target]:
        """A fresh server with the settings of `others` beside those in force; or the one that runs already, as it is.

        No target is asked a new question that an earlier one was asked.
        """
        pool, fresh = self.pool, self.fresh
        if self.data is None:
            process = listening_process(self.source.url)
            yield Target(self.source.url, self.source.key, process, pool, fresh, self.source.collection)
            return
        with server(self.data, self.settings, **others) as (url, key):
            process = running_process(DataPaths(self.data))
            yield Target(url, key, process, pool, fresh, self.source.collection)


@contextmanager
def site(source: Source, settings: Settings) -> Iterator[Site]:
    """Prepare it; what was made for it is gone at the end, and the operator's own data stay as they are.

    Raises InvalidRequest, RuntimeError.
    """
    if source.url:
        source = replace(source, url=_address(source.url))
        yield _described(source, settings, None, source.url, source.key, f"the server at {source.url}")
        return
    with scratch() as folder:
        data = folder / "data"
        data.mkdir(mode=0o700)
        own = source.data is None and _holds_passages(settings.data_dir)
        if own:
            copied(settings.data_dir, data)
        with server(data, settings) as (url, key):
            if not own:
                fill(url, key, source.data or HANDBOOK, source.passages)
            told = f"a copy of {settings.data_dir}" if own else str(source.data or "the handbook")
            prepared = _described(source, settings, data, url, key, told)
        yield prepared


def _address(url: str) -> str:
    """`http://host:port`, which is what the load client speaks. Raises InvalidRequest."""
    try:
        parts = urlsplit(url.rstrip("/"))
        known = parts.scheme == "http" and bool(parts.hostname) and not parts.path and parts.port != 0
    except ValueError:
        known = False
    if not known:
        hint = "Write http://HOST:PORT of the appliance itself; the load client speaks neither TLS nor to a path."
        raise InvalidRequest(f"{url!r} is no address that can be asked.", code="invalid_url", hint=hint)
    return url.rstrip("/")


def _described(source: Source, settings: Settings, data: Path | None, url: str, key: str, told: str) -> Site:
    try:
        documents, passages = held(url, key, source.collection)
        found = texts(url, key, source.collection) if passages else []
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        hint = "Check --url, and --key (a key of the role reader or above)."
        raise InvalidRequest(f"The server cannot be asked: {error}", code="no_server", hint=hint) from error
    if not passages:
        raise InvalidRequest(
            f"The collection {source.collection!r} holds no passages.", code="no_data",
            hint="Take documents in first, or name another with --collection.",
        )  # fmt: skip
    pool, fresh = _supplies(found, list(dict.fromkeys(_real(source, told))))
    return Site(source, settings, data, documents, passages, found, pool, fresh, told)


def _supplies(texts: Sequence[str], real: Sequence[str]) -> tuple[list[str], Fresh]:
    """POOL questions to ask again and again, and all others, each to be asked once."""
    pool = list(real[:POOL])
    if len(pool) < POOL:
        pool = [*pool, *word_questions(texts, POOL - len(pool), seed=1_000_003)]
    return pool, Fresh(texts, list(real[POOL:]), set(pool))


def _holds_passages(data_dir: Path) -> bool:
    import apsw

    database = DataPaths(data_dir).database
    if not database.is_file():
        return False
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return bool(connection.execute("SELECT count(*) FROM (SELECT 1 FROM chunks LIMIT 1)").get)
    except apsw.Error:
        return False
    finally:
        connection.close()


def _real(source: Source, told: str) -> list[str]:
    """Questions of people: of the file, of the data sets, of the handbook."""
    if source.questions is not None:
        return [row["question"] for row in read_questions(source.questions)]
    if source.data is not None:
        files = (corpus.with_name("queries.jsonl") for corpus in sets(source.data))
        return [query.text for file in files if file.is_file() for query in read_texts(file)]
    return [one.question for one in QUESTIONS] if told == "the handbook" else []


def read_questions(path: Path) -> list[dict[str, Any]]:
    """The lines of a questions file: {"question", "document"?, "answer"?}. Raises InvalidRequest naming the line."""
    hint = 'Write one JSON object a line: {"question": "…", "document": "guide.pdf", "answer": "…"}.'
    rows: list[dict[str, Any]] = []
    try:
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
            if not line.strip():
                continue
            rows.append(_question(line, number))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=hint) from error
    except ValueError as error:
        raise InvalidRequest(f"{path} is no questions file: {error}.", code="bad_data", hint=hint) from error
    if not rows:
        raise InvalidRequest(f"{path} holds no question.", code="no_data", hint=hint)
    return rows


def _question(line: str, number: int) -> dict[str, Any]:
    """Raises ValueError naming the line."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("question"), str) or not row["question"].strip():
        raise ValueError(f"line {number} has no question")
    return row
