"""Traces: what one question, or one ingestion task, spent its time on, across all threads that worked for it.

A step of it (`steps.cpp`) is two readings of the clock and fifty bytes beside the step before, a fifth of a
microsecond; a span of OpenTelemetry's own library costs 26 µs, more than half of a cached answer for its four. The data
are OpenTelemetry's (trace id, span id, parent, attributes, status), so that `otlp.py` can send them as they are. Where
a thread is in a trace is a context variable; `carried` gives another thread a place of its own. No stage is open across
an `await`.

Times are `time.perf_counter()` seconds, which on Linux is the clock of `time.monotonic()` as well.
"""

import contextvars
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from appliance.telemetry.steps import CURRENT, Place, Steps, note, record

__all__ = ["CURRENT", "Span", "Trace", "carried", "current_trace", "note", "record"]

T = TypeVar("T")

_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_MASK = (1 << 64) - 1
_SUMMING = threading.Lock()  # of all traces: few have so many spans


@dataclass(frozen=True, slots=True)
class Span:
    """One step as it is shown. `parent` is its place among the spans, -1 of the root; `ended` is 0 while it goes on;
    `error` is the code of what it ended with, empty when all was well.
    """

    name: str
    parent: int
    began: float
    ended: float
    error: str
    attributes: Mapping[str, Any]


class Trace(Steps):
    """The steps of one question or task, the root first. They may be added from any thread.

    It is complete when everybody who held it has let go: the request itself, and the work it began in other threads.
    """

    route = ""
    status = 0
    kept = True  # shown when it is complete; others are only counted
    parent_id = ""  # of the caller's span
    sampled = True
    _caller = ""  # trace id

    def __init__(
        self, query_id: str, began: float | None = None, traceparent: bytes = b"", complete: "OnComplete | None" = None
    ) -> None:
        super().__init__(query_id, time.perf_counter() if began is None else began)
        self.started_at = time.time()
        given = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if given is not None:
            self._caller, self.parent_id = given[1].decode(), given[2].decode()
            self.sampled = bool(int(given[3], 16) & 1)
        self.complete = complete
        self.hold_count = 1
        self.left_out: dict[str, list[float]] = {}  # by name: [spans, seconds]

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits: the caller's, or made of the query id, which is random."""
        if self._caller or len(self.query_id) == 32:
            return self._caller or self.query_id
        return hashlib.blake2b(self.query_id.encode(), digest_size=8).hexdigest() + self.query_id

    @property
    def spans(self) -> list[Span]:
        """All spans that are kept, the root first."""
        return [
            Span(name, parent, began, ended, error or "", attributes or {})
            for name, parent, began, ended, error, attributes in self.read()
        ]

    @property
    def failed(self) -> bool:
        """Whether the appliance itself failed; a question that was refused for its own fault did not."""
        return self.status >= 500

    def end(self, route: str, status: int, attributes: dict[str, Any], ended: float) -> None:
        """The root has ended: `status` is an HTTP status, `attributes` are those of its log line."""
        self.route, self.status = route, status
        self.close(route, ended, "" if status < 400 else str(attributes.get("code") or status), attributes)

    def span_id(self, index: int) -> str:
        """The id of the span with this place in `spans`: 16 hexadecimal digits."""
        return f"{(int(self.query_id[:16], 16) + index) & _MASK or 1:016x}"

    def sum_up(self, name: str, seconds: float) -> None:
        """Count a span that has ended and was not kept."""
        with _SUMMING:
            known = self.left_out.setdefault(name, [0, 0.0])
            known[0] += 1
            known[1] += seconds

    def here(self) -> "contextvars.Token[Place | None]":
        """This thread begins to work for it, at its root. Returns what `CURRENT.reset` takes."""
        return CURRENT.set(Place(self))

    def hold(self) -> None:
        """More work goes on for it. From the thread that will let go."""
        self.hold_count += 1

    def let_go(self) -> None:
        """One part of the work is done; the last one completes the trace."""
        self.hold_count -= 1
        if not self.hold_count:
            self.over = True
            if self.complete is not None:
                self.complete(self)


OnComplete = Callable[[Trace], None]


def current_trace() -> Trace | None:
    """The trace that this thread works for, unless it is complete."""
    place = CURRENT.get()
    return place.trace if place is not None and not place.trace.over else None


def carried(work: Callable[[], T]) -> Callable[[], T]:
    """The same work with the caller's context, for another thread: its steps and log lines belong to the question."""
    context, place = contextvars.copy_context(), CURRENT.get()
    if place is not None:
        context.run(CURRENT.set, Place(place.trace, place.at))
    return lambda: context.run(work)
