"""A generator that says what it was told to: deterministic, for tests and to measure our own overhead."""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence

from appliance.errors import InvalidRequest
from appliance.inference.text_stream import TextStream
from appliance.telemetry.metrics import GENERATED_TOKENS
from appliance.types import CancelToken, Generated, GenerationRequest, TokenSink, Usage


class ScriptedGenerator:
    """Gives the answer whose key occurs in the last message, or `default`. A token is a word with the space before it.

    `token_delay_s` makes it as slow as a model, to try deadlines and cancelling.
    """

    def __init__(
        self,
        answers: Mapping[str, str] | None = None,
        *,
        default: str = "",
        context_tokens: int = 2_048,
        token_delay_s: float = 0.0,
    ) -> None:
        self._answers = dict(answers or {})
        self._default = default
        self._context_tokens = context_tokens
        self._delay_s = token_delay_s
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def fingerprint(self) -> str:
        script = repr((sorted(self._answers.items()), self._default))
        return hashlib.sha256(script.encode()).hexdigest()[:32]

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        """As LlamaGenerator: one request at a time. Raises InvalidRequest for a prompt beyond the context."""
        prompt_tokens = sum(self.count_tokens(message["content"]) for message in request.messages)
        if prompt_tokens >= self._context_tokens:
            raise InvalidRequest(f"the prompt has {prompt_tokens} tokens", code="prompt_too_long")
        with self._lock:
            return self._write(request, prompt_tokens, cancel, on_text)

    def close(self) -> None:
        """Nothing to free."""

    def _write(
        self, request: GenerationRequest, prompt_tokens: int, cancel: CancelToken, on_text: TokenSink | None
    ) -> Generated:
        stream = TextStream(request.stop, on_text)
        written, reason = 0, "stop"
        for word in _words(self._answer(request.messages)):
            if cancel.is_set() or time.monotonic() >= request.deadline:
                reason = "cancelled" if cancel.is_set() else "deadline"
                break
            if written == request.max_tokens:
                reason = "length"
                break
            if self._delay_s:
                time.sleep(self._delay_s)
            written += 1
            if stream.add(word.encode()):
                break
        GENERATED_TOKENS.inc(written)
        return Generated(stream.finish(), Usage(prompt_tokens, written), reason)

    def _answer(self, messages: Sequence[Mapping[str, str]]) -> str:
        last = messages[-1]["content"] if messages else ""
        return next((answer for key, answer in self._answers.items() if key in last), self._default)


def _words(text: str) -> list[str]:
    return [word if index == 0 else f" {word}" for index, word in enumerate(text.split(" "))]
