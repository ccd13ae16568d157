"""A small client of streamed chats: when the first text came, and how many tokens the server counted."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: milliseconds to its first text, tokens it took to write, the text."""

    first_ms: float
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A server that speaks the OpenAI API."""

    url: str
    key: str
    model: str

    def post(self, path: str, body: dict[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=LONGEST_S)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        return connection, connection.getresponse()


def ask(chat: Chat, prompt: str, max_tokens: int) -> Told:
    """A streamed answer at temperature 0. Raises RuntimeError when the server refuses."""
    body = {
        "model": chat.model,
        "messages": [{"role": "system", "content": "Answer from the passages."}, {"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, text, tokens = time.perf_counter(), 0.0, "", 0
    connection, response = chat.post("/v1/chat/completions", body)
    if response.status != 200:
        raise RuntimeError(f"{chat.url}: {response.status}: {response.read(500)!r}")
    while line := response.readline():
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        for choice in chunk.get("choices", ()):
            if piece := choice["delta"].get("content"):
                first = first or time.perf_counter()
                text += piece
        tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    connection.close()
    return Told(((first or time.perf_counter()) - began) * 1000, tokens, text)


def at_once(chat: Chat, prompts: Sequence[str], max_tokens: int) -> list[Told]:
    """The answers of prompts that are sent at the same time. Raises RuntimeError when one is missing."""
    told: dict[int, Told] = {}

    def send(index: int) -> None:
        told[index] = ask(chat, prompts[index], max_tokens)

    threads = [threading.Thread(target=send, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(told) < len(prompts):
        raise RuntimeError(f"{chat.url}: {len(prompts) - len(told)} of {len(prompts)} answers are missing")
    return [told[index] for index in range(len(prompts))]


def outcome(chat: Chat, question: str) -> str:
    """How POST /query ends in generative mode: the mode that the answer has, or the status of a refusal.

    An extractive answer for which tokens were written, of which no sentence stood, is `dropped`.
    """
    connection, response = chat.post("/query", {"question": question, "mode": "generative"})
    try:
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        return str(response.status)
    dropped = answer["mode"] == "extractive" and answer["usage"]["completion_tokens"]
    return "dropped" if dropped else str(answer["mode"])
