"""Streamed chats: chunks of the OpenAI API for the parts of an answer."""

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.cache import Origin
from appliance.web.openai.content import Content, sentences
from appliance.web.openai.wire import (
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    Reason,
    Said,
    Usage,
    Written,
    grounded,
    total,
)
from appliance.web.wire import AnswerCore, ClaimBody

OUT_OF_TIME = "Time ran out while writing."


@dataclass(frozen=True, slots=True)
class Form:
    """What one request fixes about the form of its answer. `notice` is told beside it."""

    id: str
    model: str
    most_tokens: int | None
    usage_wanted: bool
    notice: str = ""


class _ChunkEvents:
    """Chunks of one answer, each an event; all have one id and time."""

    endpoint = "chat"

    def __init__(self, form: Form) -> None:
        self._form = form
        self._created = int(time.time())

    def begin(self) -> bytes:
        return self._chunk(Said(role="assistant", content=""))

    def waiting(self, place: bytes) -> bytes:
        return b": waiting " + place + b"\n\n"  # a comment: clients of this API know no such event

    def failed(self, problem: bytes) -> bytes:
        return _event(problem)

    def _text(self, text: str) -> bytes:
        return self._chunk(Said(content=text)) if text else b""

    def _end(self, last: Said, reason: Reason, usage: Usage) -> bytes:
        form = self._form
        told = _event(msgspec.json.encode(Chunk(form.id, self._created, form.model, [], usage)))
        return self._chunk(last, reason) + (told if form.usage_wanted else b"") + _event(b"[DONE]")

    def _chunk(self, delta: Said, reason: Reason | None = None) -> bytes:
        form = self._form
        return _event(msgspec.json.encode(Chunk(form.id, self._created, form.model, [ChunkChoice(delta, reason)])))


class AnswerEvents(_ChunkEvents):
    """An answer from the documents: a chunk for each checked claim, the grounds in the last one."""

    def __init__(self, form: Form, content: Content) -> None:
        super().__init__(form)
        self._content = content
        self._claims = 0

    def claim(self, claim: bytes) -> bytes:
        self._claims += 1
        return self._text(self._content.sentence(msgspec.json.decode(claim, type=ClaimBody).text))

    def done(self, core: bytes, timings: Any, origin: Origin) -> bytes:
        answer = msgspec.json.decode(core, type=AnswerCore)
        text = "".join(map(self._content.sentence, sentences(answer)[self._claims :])) + self._content.rest()
        last = grounded(answer, origin, self._form.notice)
        return self._text(text) + self._end(last, _reason(answer, self._form, self._content), total(answer.usage))


class WritingEvents(_ChunkEvents):
    """What the generator writes without documents, as it comes."""

    def claim(self, claim: bytes) -> bytes:
        return self._text(claim.decode())

    def done(self, core: bytes, timings: Any, origin: Origin) -> bytes:
        written = msgspec.json.decode(core, type=Written)
        last = Said() if written.finish_reason != "deadline" else Said(notice=OUT_OF_TIME)
        return self._end(last, "stop" if written.finish_reason == "stop" else "length", total(written.usage))


def answered(core: bytes, origin: Origin, form: Form, content: Content) -> ChatCompletion:
    """An answer from the documents in one piece; `core` is an encoded AnswerCore."""
    answer = msgspec.json.decode(core, type=AnswerCore)
    text = "".join(map(content.sentence, sentences(answer))) + content.rest()
    message = msgspec.structs.replace(grounded(answer, origin, form.notice), role="assistant", content=text)
    return _completion(form, message, _reason(answer, form, content), total(answer.usage))


def written(core: bytes, form: Form) -> ChatCompletion:
    """What the generator wrote without documents, in one piece; `core` is an encoded Written."""
    found = msgspec.json.decode(core, type=Written)
    message = Said(role="assistant", content=found.text)
    if found.finish_reason == "deadline":
        message = msgspec.structs.replace(message, notice=OUT_OF_TIME)
    return _completion(form, message, "stop" if found.finish_reason == "stop" else "length", total(found.usage))


def _completion(form: Form, message: Said, reason: Reason, usage: Usage) -> ChatCompletion:
    return ChatCompletion(form.id, int(time.time()), form.model, [Choice(message, reason)], usage)


def _reason(answer: AnswerCore, form: Form, content: Content) -> Reason:
    """Why the text ends: it was cut, the generator had used up its tokens, or it was complete."""
    used_up = form.most_tokens is not None and answer.usage.completion_tokens >= form.most_tokens
    return content.cut or ("length" if used_up else "stop")


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
