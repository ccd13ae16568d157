"""How far the running task is: kept in memory, beside the durable counters of the ledger."""

import threading
import time
from collections import deque

WINDOW_S = 30.0
SAMPLES = 256


class Progress:
    """Thread-safe. Files are counted when they are settled; documents under way count in part."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)  # (monotonic s, files done)
        self._settled = 0
        self._partial = 0.0
        self.step = ""

    def advance(self, part: float) -> None:
        """A batch took files forward by `part` of a file in all."""
        with self._lock:
            self._partial += part
            self._sample()

    def settle(self, files: int, embedded: int) -> None:
        """`files` came to an end, `embedded` of them after all of their chunks had been counted by `advance`."""
        with self._lock:
            self._settled += files
            self._partial = max(0.0, self._partial - embedded)
            self._sample()

    @property
    def partial(self) -> float:
        """Files' worth of work that is done but not yet durable."""
        return self._partial

    @property
    def rate_per_s(self) -> float | None:
        """Files a second over the last WINDOW_S seconds; None before there is anything to tell."""
        with self._lock:
            if len(self._samples) < 2:
                return None
            (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        seconds = max(last_s, time.monotonic() - 5.0) - first_s
        return (last - first) / seconds if seconds > 0.2 and last > first else None

    def _sample(self) -> None:
        now = time.monotonic()
        done = self._settled + self._partial
        if len(self._samples) < 2 or now - self._samples[-2][0] >= WINDOW_S / SAMPLES:
            self._samples.append((now, done))
        else:
            self._samples[-1] = (now, done)
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
