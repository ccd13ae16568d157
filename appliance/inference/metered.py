"""A generator lent to one request: counts the tokens and its share of the time."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from appliance.types import CancelToken, Generated, GenerationRequest, Generator, TokenSink, Waiting


class SharedTime:
    """Shares time out among those who use the generator at once: of a second, each of m pays 1/m. Thread-safe.

    The shares of all requests add up to the time in which the generator had any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._each = 0.0  # what one who was there all along would have paid
        self._at = time.monotonic()

    def enter(self) -> float:
        """One more; give what it returns to `leave`."""
        with self._lock:
            self._advance()
            self._users += 1
            return self._each

    def leave(self, entered: float) -> float:
        """One less; its share in seconds."""
        with self._lock:
            self._advance()
            self._users -= 1
            return self._each - entered

    def _advance(self) -> None:
        now = time.monotonic()
        if self._users:
            self._each += (now - self._at) / self._users
        self._at = now


class Metered:
    """The same generator for one request after the other of one principal; `seconds` is its share of the time.

    `on_wait` is told of the place in the queue, for requests that name nobody else.
    """

    def __init__(self, generator: Generator, shared: SharedTime, principal: str = "") -> None:
        self._generator = generator
        self._shared = shared
        self._principal = principal
        self.on_wait: Callable[[Waiting], None] | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.seconds = 0.0

    @property
    def name(self) -> str:
        return self._generator.name

    @property
    def fingerprint(self) -> str:
        return self._generator.fingerprint

    @property
    def context_tokens(self) -> int:
        return self._generator.context_tokens

    def count_tokens(self, text: str) -> int:
        return self._generator.count_tokens(text)

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        """As the generator does, and raises the same."""
        entered = self._shared.enter()
        try:
            made = self._generator.generate(
                replace(request, principal=self._principal, on_wait=request.on_wait or self.on_wait), cancel, on_text
            )
        finally:
            self.seconds += self._shared.leave(entered)
        self.prompt_tokens += made.usage.prompt_tokens
        self.completion_tokens += made.usage.completion_tokens
        return made

    def close(self) -> None:
        """Nothing of its own."""
