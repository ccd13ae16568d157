"""A client that leaves in the middle of a generated answer frees the language model: with a real one."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance.config import Settings
from appliance.types import CancelToken, Generated, GenerationRequest, TokenSink
from tests.web.conftest import CORPUS, QUESTION, Service, until
from tests.web.test_query import ask, leave_in_the_middle

SLOW_S = 0.1  # for each piece of text, so that there is a middle to leave in


class Watch:
    """Notes what the generator of an appliance began, wrote and returned; it writes slowly."""

    def __init__(self, generator: Any) -> None:
        self.pieces = 0
        self.ended: list[Generated] = []
        self._generate = generator.generate
        generator.generate = self._watched

    def _watched(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        def told(text: str) -> None:
            self.pieces += 1
            time.sleep(SLOW_S)
            if on_text is not None:
                on_text(text)

        self.ended.append(self._generate(request, cancel, told))
        return self.ended[-1]


@pytest.mark.slow
def test_a_client_that_leaves_frees_the_model(open_service: Callable[..., Service]) -> None:
    service = open_service(generator=Settings.model_fields["generator"].default, query_concurrency=1)
    for source, text in CORPUS.items():
        service.add(source, text)
    watch = Watch(service.appliance.generator)
    body = {"question": QUESTION, "mode": "generative", "stream": True}
    leave_in_the_middle(service, body, lambda: watch.pieces >= 2)
    assert until(lambda: bool(watch.ended))
    assert watch.ended[0].finish_reason == "cancelled"
    assert watch.ended[0].usage.completion_tokens < service.appliance.settings.answer_tokens
    with service.client("reader") as client:
        found = ask(client, mode="generative")
    assert found["cache_hit"] is False
    assert len(watch.ended) == 2
    assert watch.ended[1].finish_reason in {"stop", "length"}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_a_chat_with_the_model_alone_is_broken_off_as_well(open_service: Callable[..., Service], stream: bool) -> None:
    name = Settings.model_fields["generator"].default
    service = open_service(generator=name)
    watch = Watch(service.appliance.generator)
    messages = [{"role": "user", "content": "Tell me a very long story about a fox."}]
    body = {"model": name, "messages": messages, "stream": stream, "max_tokens": 500}
    leave_in_the_middle(service, body, lambda: watch.pieces >= 2, path="/v1/chat/completions")
    assert until(lambda: bool(watch.ended))
    assert watch.ended[0].finish_reason == "cancelled"
    assert watch.ended[0].usage.completion_tokens < 500
