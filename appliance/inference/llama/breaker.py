"""A circuit breaker: after several failures in a row nothing is tried for a time, then one request is."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.errors import ModelError

FAILURES = 3  # in a row that open it
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 300.0


class Breaker:
    """Closed, open, or half open: one trial under way. Pauses double while trials fail. For use under a lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._until = 0.0

    def wait_s(self) -> float:
        """Seconds for which nothing is to be tried. At 0 the next request is a trial, if it was open."""
        return max(0.0, self._until - self._clock())

    def failed(self) -> None:
        """Count a failure; the last of FAILURES, and every one after a pause, opens it."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._until = self._clock() + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)

    @contextmanager
    def watching(self, lock: threading.Condition) -> Iterator[None]:
        """Work of callers, not under the lock, that counts as a failure when the model cannot be loaded."""
        try:
            yield
        except ModelError:
            with lock:
                self.failed()
            raise

    def worked(self) -> None:
        """Close it."""
        self._failures, self._pause_s, self._until = 0, FIRST_PAUSE_S, 0.0
