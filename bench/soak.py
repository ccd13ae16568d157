"""A soak of the generator: questions of all kinds, cancels and disconnects at once, for minutes.

At the end memory must be where it was in the middle, and the generator must hold no request and no token. Both are read
from outside: the server process's memory, and the gauges of /metrics. On a host too busy to answer in time, chats are
empty: they have reached their deadline.
"""

import http.client
import random
import re
import statistics
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from appliance.config import Settings
from appliance.paths import HANDBOOK, DataPaths
from bench.chat_client import Chat, ask, outcome
from bench.generation import ASKED, Row, prompt, taken
from bench.serving import ingest, running_process, server, texts, word_questions

CLIENTS = 10  # more than there are slots on two cores, so that some wait
PASSAGES = 12  # their kept prompts fit the generator's memory
LONGEST_TOKENS = 64
LOOK_EVERY_S = 2.0
DRAIN_S = 60.0
FLAT = 1.05  # memory of the last fifth against the middle one
GAUGES = ("rag_generator_requests", "rag_generator_held_tokens")


@dataclass(slots=True)
class _Soak:
    """What the clients share."""

    chat: Chat
    passages: list[str]
    questions: list[str]
    until: float
    ended: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, number: int) -> None:
        chance = random.Random(number)
        kinds: list[tuple[str, Callable[[random.Random], str]]] = [
            ("chat", self._chat), ("question", self._question), ("cancelled", self._cancelled), ("gone", self._gone)
        ]  # fmt: skip
        while time.monotonic() < self.until:
            kind, act = chance.choice(kinds)
            try:
                how = act(chance)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                how = type(error).__name__
            with self.lock:
                self.ended[f"{kind}: {how}"] += 1

    def _prompt(self, chance: random.Random) -> str:
        return prompt(chance.choice(self.passages), chance.randrange(len(ASKED)))

    def _chat(self, chance: random.Random) -> str:
        told = ask(self.chat, self._prompt(chance), chance.randrange(1, LONGEST_TOKENS))
        return "answered" if told.tokens else "empty"

    def _question(self, chance: random.Random) -> str:
        return outcome(self.chat, chance.choice(self.questions))

    def _cancelled(self, chance: random.Random) -> str:
        """Leaves in the middle of the answer."""
        return self._leave(chance, lines=chance.randrange(1, 30))

    def _gone(self, chance: random.Random) -> str:
        """Leaves before it begins."""
        return self._leave(chance, lines=0)

    def _leave(self, chance: random.Random, lines: int) -> str:
        messages = [{"role": "user", "content": self._prompt(chance)}]
        body = {"model": self.chat.model, "messages": messages, "max_tokens": LONGEST_TOKENS, "stream": True}
        connection, response = self.chat.post("/v1/chat/completions", body)
        for _ in range(lines):
            response.readline()
        time.sleep(0 if lines else chance.random())
        connection.close()
        return "left" if response.status == 200 else str(response.status)


def bench_soak(settings: Settings, minutes: float) -> dict[str, Any]:
    """Run it; uses the models of `settings`, not its data directory. Returns {"runs": […], "flat", "free", …}."""
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder, server(Path(folder), settings) as (url, key):
        chat = Chat(url, key, settings.generator)
        ingest(url, key, HANDBOOK)
        passages, questions = taken(PASSAGES), word_questions(texts(url, key), 200, seed=5)
        for passage in passages:  # what is kept of prompts is there from the beginning
            for number in range(len(ASKED)):
                ask(chat, prompt(passage, number), 1)
        soak = _Soak(chat, passages, questions, time.monotonic() + 60 * minutes)
        memory = _watched(soak, running_process(DataPaths(Path(folder))))
        held = _drained(url)
        after = ask(chat, "Say yes.", 2)
    fifth = max(1, len(memory) // 5)
    middle, last = (statistics.median(part) for part in (memory[2 * fifth : 3 * fifth] or memory, memory[-fifth:]))
    rows = [Row(what, "requests", count) for what, count in sorted(soak.ended.items())]
    rows += [
        Row("memory, middle fifth (median)", "MiB", round(middle)),
        Row("memory, last fifth (median)", "MiB", round(last)),
        Row("memory, highest", "MiB", round(max(memory))),
        Row("requests that the generator holds at the end", "requests", held[0]),
        Row("tokens that llama.cpp holds at the end", "tokens", held[1]),
        Row("first token of a question after it", "ms", round(after.first_ms, 1)),
    ]
    return {"runs": [{"what": row.what, "unit": row.unit, "value": row.ours} for row in rows], "minutes": minutes,
            "clients": CLIENTS, "flat": last <= FLAT * middle, "free": not any(held)}  # fmt: skip


def _watched(soak: _Soak, process: psutil.Process) -> list[float]:
    """All clients at once; -> the server's memory in MiB, every LOOK_EVERY_S."""
    threads = [threading.Thread(target=soak.client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < soak.until:
        time.sleep(LOOK_EVERY_S)
        memory.append(process.memory_info().rss / 2**20)
    for thread in threads:
        thread.join()
    return memory


def _drained(url: str) -> list[float]:
    """What the gauges say once they are all 0, or after DRAIN_S."""
    end = time.monotonic() + DRAIN_S
    while any(held := _gauges(url)) and time.monotonic() < end:
        time.sleep(0.2)
    return held


def _gauges(url: str) -> list[float]:
    """GAUGES of /metrics. Raises RuntimeError when one is not there."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = [re.search(rf"^{name} (\S+)$", text, re.MULTILINE) for name in GAUGES]
    if not all(found):
        raise RuntimeError("/metrics does not tell what the generator holds.")
    return [float(one.group(1)) for one in found if one]
