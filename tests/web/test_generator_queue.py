"""Generated answers when more ask than can be served: with the real model, one answer at a time."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from appliance.config import Settings
from appliance.inference.llama.context import NativeContext
from tests.web.conftest import CORPUS, QUESTION, Service, until
from tests.web.test_query import ask, events

OTHERS = ["How often must the boiler be serviced?", "Who services the boiler?", "When is the boiler serviced?"]


def opened(open_service: Callable[..., Service], **more: Any) -> Service:
    settings = {"generator": Settings.model_fields["generator"].default, "generator_slots": 1, "cache_bytes": 0}
    service = open_service(**settings, **more)
    for source, text in CORPUS.items():
        service.add(source, text)
    return service


def streamed(service: Service, question: str, told: list[tuple[str, Any]]) -> threading.Thread:
    """Ask in a thread of its own; `told` gets the events."""

    def read() -> None:
        body = {"question": question, "mode": "generative", "stream": True}
        with service.client("reader") as client, client.stream("POST", "/query", json=body) as response:
            told.extend(events(response.iter_lines()))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.mark.slow
def test_who_waits_is_told_and_who_is_too_many_gets_an_extractive_answer(
    open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = opened(open_service, generator_queue=1)
    held, decode = threading.Event(), NativeContext._run

    def when_allowed(self: NativeContext) -> int:
        held.wait(60)
        return decode(self)

    monkeypatch.setattr(NativeContext, "_run", when_allowed)
    generator: Any = service.appliance.generator
    told: list[list[tuple[str, Any]]] = [[], []]
    first = streamed(service, OTHERS[0], told[0])
    assert until(lambda: generator._engine is not None and len(generator._engine.jobs) == 1, 60)
    second = streamed(service, OTHERS[1], told[1])
    assert until(lambda: len(generator._queue) == 1, 60)
    with service.client("editor") as client:  # another key with as many places taken as the other has: none is given up
        third = ask(client, OTHERS[2], mode="generative")
    assert third["mode"] == "extractive"
    assert "The generator is busy" in third["notice"]
    held.set()
    first.join(60)
    second.join(60)
    assert [data for name, data in told[1] if name == "waiting"] == [{"position": 0, "expected_s": 0.0}]
    assert [names[-1][0] for names in told] == ["done", "done"]


@pytest.mark.slow
def test_a_generator_that_keeps_failing_is_left_alone(
    open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = opened(open_service)
    tried: list[int] = []

    def failing(self: NativeContext) -> int:
        tried.append(1)
        return -3  # what llama_decode returns when computing fails

    monkeypatch.setattr(NativeContext, "_run", failing)
    with service.client("reader") as client:
        notices = [ask(client, QUESTION, mode="generative")["notice"] for _ in range(4)]
        assert ask(client, QUESTION, mode="generative")["mode"] == "extractive"
        chat = {"model": service.appliance.settings.generator, "messages": [{"role": "user", "content": "Hello"}]}
        refused = client.post("/v1/chat/completions", json=chat)
    assert [("cannot be used" in notice, "rests after failures" in notice) for notice in notices] == [
        *[(True, False)] * 3, (False, True)
    ]  # fmt: skip
    assert len(tried) == 3
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
