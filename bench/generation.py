"""The generator under load: a server of its own beside llama.cpp's llama-server, on the same file, prompts and host.

Both are asked over HTTP by the same client (POST /v1/chat/completions, streamed, temperature 0), one after the other,
so that neither computes while the other is measured. Prompts are pieces of the handbook with a question behind; none
is used twice on one server unless a second question over the same passages is what is measured.
"""

import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from appliance.config import Settings
from appliance.inference.registry import ModelRegistry
from appliance.paths import BUNDLED_MODELS, HANDBOOK, DataPaths
from bench.chat_client import Chat, ask, at_once, outcome
from bench.llama_server import llama_server
from bench.load import run
from bench.progress import bar
from bench.serving import ingest, running_process, server, texts, word_questions
from bench.slots import cancelling, same_text

STREAMS = 8
ANSWER_TOKENS = 64
PASSAGE_CHARACTERS = 1_900  # of a prompt: some 450 tokens
REPEATS = 3  # of what is measured in seconds; the median is told
SEARCH_S = 6.0
CLIENTS = 100
ASKED = ("What is this about?", "What must be done first?", "Which setting is named?", "What happens at the limit?")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing, of this appliance and, where it was asked, of llama-server."""

    what: str
    unit: str
    ours: float
    llama_server: float | None = None
    ratio: float | None = None  # where it is not that of the two figures

    def shown(self) -> dict[str, Any]:
        ratio = self.ratio
        if ratio is None and self.llama_server is not None:
            ratio = round(self.ours / self.llama_server, 3)
        return {"what": self.what, "unit": self.unit, "ours": self.ours, "llama_server": self.llama_server,
                "ratio": ratio}  # fmt: skip


class Passages:
    """Pieces of the handbook, each given once."""

    def __init__(self) -> None:
        texts = [path.read_text("utf-8") for path in sorted(HANDBOOK.glob("*.md"))]
        self._pieces = [
            text[start : start + PASSAGE_CHARACTERS]
            for text in texts
            for start in range(0, len(text) - PASSAGE_CHARACTERS, PASSAGE_CHARACTERS)
        ]
        self._next = 0

    def take(self) -> str:
        """The next one. Raises RuntimeError when all have been given."""
        if self._next == len(self._pieces):
            raise RuntimeError("The handbook is too short for this benchmark.")
        self._next += 1
        return self._pieces[self._next - 1]


def bench_generation(settings: Settings, binary: Path | None = None) -> dict[str, Any]:
    """Measure; `binary` is a llama-server to compare with. Uses the models of `settings`, not its data directory."""
    model = ModelRegistry(BUNDLED_MODELS, DataPaths(settings.data_dir).models).resolve(settings.generator, "generator")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        data = Path(folder)
        steps = REPEATS * (1 if binary is None else 2) + 4
        with server(data, settings) as (url, key), bar("Generating", steps) as move:
            tell = partial(move, advance=1)
            ours = Chat(url, key, settings.generator)
            if binary is None:
                rows += compared(ours, None, tell)
            else:
                with llama_server(binary, model.path, settings, STREAMS) as theirs:
                    rows += compared(ours, theirs, tell)
            rows += searching(url, key, ours)
            tell()
            rows += crowd(url, key, ours, data)
            tell()
            rows += inside(model.path, settings, tell)
    return {"runs": [row.shown() for row in rows], "streams": STREAMS, "answer_tokens": ANSWER_TOKENS,
            "generator": settings.generator, "threads": settings.threads}  # fmt: skip


def inside(model: Path, settings: Settings, tell: Callable[[], None]) -> list[Row]:
    """What can only be seen in the process: how soon slots are free, and whether texts depend on others."""
    rows = [Row(what, "ms", round(ms, 1)) for what, ms in cancelling(model, settings).items()]
    tell()
    prompts = [prompt(piece, 0) for piece in taken(STREAMS)]
    for threads in sorted({1, settings.threads}):
        share = same_text(model, settings, prompts, threads)
        rows.append(
            Row(f"texts the same alone and beside {STREAMS - 1} others, {threads} thread(s)", "share", round(share, 3))
        )
    tell()
    return rows


def taken(count: int) -> list[str]:
    """The first pieces of the handbook."""
    passages = Passages()
    return [passages.take() for _ in range(count)]


def prompt(passage: str, question: int) -> str:
    return f"Passages:\n\n{passage}\n\nQuestion: {ASKED[question]}"


def compared(ours: Chat, theirs: Chat | None, tell: Callable[[], None] = lambda: None) -> list[Row]:
    """Tokens a second and times to the first token, of both in turns: a host that is disturbed disturbs both.

    The ratio is the median of those of the rounds. `tell` is called after each measurement.
    """
    systems = [chat for chat in (ours, theirs) if chat is not None]
    passages = {chat: Passages() for chat in systems}
    for chat in systems:  # the model is loaded, the threads run
        ask(chat, "Say yes.", 2)
    rounds: list[dict[Chat, dict[str, float]]] = []
    for number in range(REPEATS):
        rounds.append({})
        for chat in systems if number % 2 == 0 else systems[::-1]:
            rounds[-1][chat] = _measured(chat, passages[chat])
            tell()
    rows = [_row(what, [[of[chat][what] for of in rounds] for chat in systems]) for what in rounds[0][ours]]
    speed = next(iter(rounds[0][ours]))
    each = [
        _row(f"round {number}: {speed}", [[of[chat][speed]] for chat in systems])
        for number, of in enumerate(rounds, start=1)
    ]
    return [*rows, *_against_one(rows), *each]


def _row(what: str, by_system: Sequence[Sequence[float]]) -> Row:
    """Medians over the rounds of each system, and the median of the rounds' ratios."""
    name, _, unit = what.partition(", ")
    ratios = [first / second for first, second in zip(*by_system, strict=True)] if len(by_system) == 2 else []
    middle = [round(statistics.median(figures), 1) for figures in by_system]
    return Row(name, unit, *middle, **({"ratio": round(statistics.median(ratios), 3)} if ratios else {}))


def _measured(chat: Chat, passages: Passages) -> dict[str, float]:
    began = time.perf_counter()
    told = at_once(chat, [prompt(passages.take(), 0) for _ in range(STREAMS)], ANSWER_TOKENS)
    speed = sum(one.tokens for one in told) / (time.perf_counter() - began)
    same = passages.take()
    first = ask(chat, prompt(same, 0), 8).first_ms
    second = ask(chat, prompt(same, 1), 8).first_ms
    other = passages.take()
    four = at_once(chat, [prompt(other, question) for question in range(4)], 8)
    return {
        f"tokens a second of {STREAMS} streams, 1/s": speed,
        "time to first token of 1 first question, ms": first,
        "time to first token of 4 first questions at once (the last), ms": max(one.first_ms for one in four),
        "time to first token of a second question, ms": second,
    }


def _against_one(rows: Sequence[Row]) -> list[Row]:
    """Four first questions in units of one."""
    one = next(row for row in rows if "of 1 first" in row.what)
    four = next(row for row in rows if "of 4 first" in row.what)
    theirs = None if one.llama_server is None or four.llama_server is None else four.llama_server / one.llama_server
    return [Row("four first questions against one", "x", round(four.ours / one.ours, 2), theirs and round(theirs, 2))]


def searching(url: str, key: str, chat: Chat) -> list[Row]:
    """p95 of /search with nothing else, and while STREAMS answers are generated."""
    ingest(url, key, HANDBOOK)
    questions = word_questions(texts(url, key), 2000, seed=3)

    def p95(name: str, part: Sequence[str]) -> float:
        return run(url, key, name=name, questions=part, clients=1, seconds=SEARCH_S, path="/search").p95_ms

    p95("warm", questions[:200])
    idle = p95("idle", questions[200:1000])
    with generating(chat):
        busy = p95("busy", questions[1000:])
    return [
        Row("/search p95, nothing else", "ms", idle),
        Row(f"/search p95 while {STREAMS} streams generate", "ms", busy),
        Row("/search p95 under generation against idle", "x", round(busy / idle, 2)),
    ]


@contextmanager
def generating(chat: Chat) -> Iterator[None]:
    """STREAMS answers at work all the time."""
    stopped = threading.Event()
    passages = taken(STREAMS)

    def write(number: int) -> None:
        asked = number
        while not stopped.is_set():
            ask(chat, prompt(passages[number], asked % len(ASKED)), ANSWER_TOKENS)
            asked += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(STREAMS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(2)  # until all of them write
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def crowd(url: str, key: str, chat: Chat, data: Path) -> list[Row]:
    """CLIENTS generative questions at once: how each ends, and the server's memory before and after."""
    process = running_process(DataPaths(data))
    before = process.memory_info().rss
    ended: list[tuple[str, float]] = []

    def send(number: int) -> None:
        began = time.perf_counter()
        mode = outcome(chat, f"What does setting number {number} mean for the generator?")
        ended.append((mode, time.perf_counter() - began))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = Counter(how for how, _ in ended)
    known = ("generative", "dropped", "extractive", "503", "504")
    return [
        Row(f"of {CLIENTS} at once: generated", "answers", count["generative"]),
        Row(f"of {CLIENTS} at once: generated, no sentence stood", "answers", count["dropped"]),
        Row(f"of {CLIENTS} at once: extractive, the generator busy", "answers", count["extractive"]),
        Row(f"of {CLIENTS} at once: refused at once (503)", "answers", count["503"]),
        Row(f"of {CLIENTS} at once: refused at the deadline (504)", "answers", count["504"]),
        Row(f"of {CLIENTS} at once: anything else or nothing", "answers", CLIENTS - sum(count[how] for how in known)),
        Row(f"of {CLIENTS} at once: the slowest", "s", round(max(seconds for _, seconds in ended), 1)),
        Row("memory before", "MiB", round(before / 2**20)),
        Row("memory after", "MiB", round(process.memory_info().rss / 2**20)),
    ]
