"""How far the running task is: kept in memory, beside the durable counters of the ledger."""

import threading
import time
from collections import deque

# Of files: a huge document stands between many small ones, and only a long view tells how long the rest will take.
WINDOW_S = 1800.0
CHUNK_WINDOW_S = 20.0  # of chunks: what is going on now
SAMPLES = 256


class _Rate:
    """Growth a second of a count over a sliding window. Not thread-safe."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])  # (monotonic s, count)

    def sample(self, count: float) -> None:
        now = time.monotonic()
        if len(self._samples) < 2 or now - self._samples[-2][0] >= self._window_s / SAMPLES:
            self._samples.append((now, count))
        else:
            self._samples[-1] = (now, count)
        while len(self._samples) > 2 and now - self._samples[0][0] > self._window_s:
            self._samples.popleft()

    def per_s(self) -> float | None:
        """None before there is anything to tell."""
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        seconds = max(last_s, time.monotonic() - 5.0) - first_s
        return (last - first) / seconds if seconds > 0.2 and last > first else None


class Progress:
    """Thread-safe. Files are counted when they are settled; documents under way count in part."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file_rate = _Rate(WINDOW_S)
        self._chunk_rate = _Rate(CHUNK_WINDOW_S)
        self._chunks = 0
        self._settled = 0
        self._partial = 0.0
        self.step = ""

    def advance(self, part: float, chunks: int) -> None:
        """A batch of `chunks` took files forward by `part` of a file in all."""
        with self._lock:
            self._partial += part
            self._chunks += chunks
            self._chunk_rate.sample(self._chunks)
            self._file_rate.sample(self._settled + self._partial)

    def settle(self, files: int, embedded: int) -> None:
        """`files` came to an end, `embedded` of them after all of their chunks had been counted by `advance`."""
        with self._lock:
            self._settled += files
            self._partial = max(0.0, self._partial - embedded)
            self._file_rate.sample(self._settled + self._partial)

    @property
    def settled(self) -> int:
        """Files that came to an end."""
        return self._settled

    @property
    def chunks(self) -> int:
        """Chunks that were embedded."""
        return self._chunks

    @property
    def partial(self) -> float:
        """Files' worth of work that is done but not yet durable."""
        return self._partial

    @property
    def rate_per_s(self) -> float | None:
        """Files a second over the last WINDOW_S seconds; None before there is anything to tell."""
        with self._lock:
            return self._file_rate.per_s()

    @property
    def chunks_per_s(self) -> float | None:
        """Chunks embedded a second over the last CHUNK_WINDOW_S seconds; None before there is anything to tell."""
        with self._lock:
            return self._chunk_rate.per_s()
