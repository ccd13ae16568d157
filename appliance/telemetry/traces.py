"""The traces that are kept in memory: the newest, and longer than these the slowest of the last hour and the failed."""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from appliance.telemetry.tracing import Trace

NEWEST, ERRORS, SLOWEST = 200, 50, 20  # traces; the slowest are of each route
SLOW_FOR_S = 3600.0
MOST_PUT_DOWN = 64  # traces
MOST_SPANS_KEPT = 20_000  # on the shelf of the newest and on that of the failed, about 250 bytes each

Shelf: TypeAlias = Literal["newest", "slowest", "errors"]


class _Recent:
    """The last traces, bounded by their number and by their spans."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spans = 0
        self.traces: deque[Trace] = deque()

    def add(self, traces: list[Trace]) -> None:
        self.traces.extend(traces)
        self._spans += sum(map(len, traces))
        while len(self.traces) > self._most or (self._spans > MOST_SPANS_KEPT and len(self.traces) > 1):
            self._spans -= len(self.traces.popleft())


class Traces:
    """Every trace comes here when it is complete. Thread-safe. `passed_on` gets each of them, to send it elsewhere.

    Traces are only put down when they come, and put on their shelves when somebody looks or when they are many: one
    after the other that takes a fifth of what it takes amid each answer.
    """

    def __init__(self) -> None:
        self.passed_on: Callable[[Trace], None] | None = None
        self._lock = threading.Lock()
        self._put_down: list[Trace] = []  # added to by anybody; bounded by MOST_PUT_DOWN
        self._newest, self._errors = _Recent(NEWEST), _Recent(ERRORS)
        self._slowest: dict[str, list[tuple[float, int, Trace]]] = {}  # by route, a bounded set: heaps, fastest first
        self._number = itertools.count()
        self._seen = 0

    def begin(self, query_id: str, began: float | None = None, traceparent: bytes = b"") -> Trace:
        """A new trace, kept when all who hold it have let go; `began` is a `time.perf_counter()` value."""
        return Trace(query_id, began, traceparent, self.keep)

    def keep(self, trace: Trace) -> None:
        """Take in a complete trace."""
        self._put_down.append(trace)
        if len(self._put_down) >= MOST_PUT_DOWN:
            with self._lock:
                self._shelve()
        if self.passed_on is not None and trace.kept:
            self.passed_on(trace)

    def _shelve(self) -> None:
        traces = self._put_down[:]
        del self._put_down[: len(traces)]  # others may have added to it meanwhile
        for trace in traces:
            trace.count()
        kept = [one for one in traces if one.kept]
        self._seen += len(kept)
        self._newest.add(kept)
        self._errors.add([one for one in kept if one.failed])
        for trace in kept:
            self._keep_slow(trace)

    def count(self) -> int:
        """Bring the stage histogram up to date; returns how many traces were kept since the start."""
        with self._lock:
            self._shelve()
            return self._seen

    def _keep_slow(self, trace: Trace) -> None:
        slow = self._slowest.get(trace.route)
        if slow is None:
            slow = self._slowest[trace.route] = []
        seconds = trace.seconds
        if len(slow) >= SLOWEST and seconds <= slow[0][0] and slow[0][2].started_at > trace.started_at - SLOW_FOR_S:
            return
        fresh = [one for one in slow if one[2].started_at > trace.started_at - SLOW_FOR_S]
        if len(fresh) < len(slow):
            heapq.heapify(fresh)
        entry = (seconds, next(self._number), trace)
        (heapq.heappush if len(fresh) < SLOWEST else heapq.heappushpop)(fresh, entry)
        self._slowest[trace.route] = fresh

    def get(self, query_id: str) -> Trace | None:
        """The trace of a question or task, by its id or by its trace id."""
        return next((one for one in self._all() if query_id in (one.query_id, one.trace_id)), None)

    def list(self, shelf: Shelf = "newest") -> list[Trace]:
        """The newest or the failed, latest first; or the slowest of the last hour, slowest first."""
        with self._lock:
            self._shelve()
            if shelf != "slowest":
                return [*(self._newest if shelf == "newest" else self._errors).traces][::-1]
            since = time.time() - SLOW_FOR_S
            found = [one for slow in self._slowest.values() for _, _, one in slow if one.started_at > since]
        return sorted(found, key=lambda one: -one.seconds)

    def _all(self) -> Iterator[Trace]:
        for shelf in ("newest", "slowest", "errors"):
            yield from self.list(shelf)
