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

    __slots__ = ()

    @property
    def _caller(self) -> re.Match[bytes] | None:
        return _TRACEPARENT.fullmatch(self.traceparent)

    @property
    def parent_id(self) -> str:
        """The caller's span, empty where there is none."""
        caller = self._caller
        return caller[2].decode() if caller else ""

    @property
    def sampled(self) -> bool:
        """Whether the caller, if there is one, sends its own part of the trace somewhere."""
        caller = self._caller
        return caller is None or bool(int(caller[3], 16) & 1)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits: the caller's, or made of the query id, which is random."""
        caller = self._caller
        if caller is not None:
            return caller[1].decode()
        if len(self.query_id) == 32:
            return self.query_id
        return hashlib.blake2b(self.query_id.encode(), digest_size=8).hexdigest() + self.query_id

    @property
    def spans(self) -> list[Span]:
        """All spans that are kept, the root first."""
        return [
            Span(name, parent, began, ended, error or "", attributes or {})
            for name, parent, began, ended, error, attributes in self.read()
        ]

    @property
    def left_out(self) -> Mapping[str, list[float]]:
        """Spans that were not kept: how many and how many seconds, by name."""
        return self.summed or {}

    def span_id(self, index: int) -> str:
        """The id of the span with this place in `spans`: 16 hexadecimal digits."""
        return f"{(int(self.query_id[:16], 16) + index) & _MASK or 1:016x}"

    def sum_up(self, name: str, seconds: float) -> None:
        """Count a span that has ended and was not kept."""
        with _SUMMING:
            if self.summed is None:
                self.summed = {}
            known = self.summed.setdefault(name, [0, 0.0])
            known[0] += 1
            known[1] += seconds


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
