"""Spans: what one question, or one ingestion task, spent its time on, across all threads that worked for it.

A span here is a few slots and two readings of the clock (1 µs); OpenTelemetry's own costs 26 µs, more than half of a
cached answer for its four spans. The data are OpenTelemetry's (trace id, span id, parent, attributes, status), so that
`otlp.py` can send them as they are. The span under way is a context variable: `carried` takes it into other threads.

Times are `time.perf_counter()` seconds, which on Linux is the clock of `time.monotonic()` as well.
"""

import contextvars
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")
Attribute = str | int | float | bool

MOST_SPANS = 400  # kept of one trace; what comes after is summed up by name
LONGEST_VALUE = 200  # characters of an attribute
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_MASK = (1 << 64) - 1
_SUMMING = threading.Lock()  # of all traces: few have so many spans


class Span:
    """One step. `ended` is 0 while it goes on; `error` is the code of what it ended with, empty when all was well."""

    __slots__ = ("attributes", "began", "ended", "error", "name", "parent", "trace")

    def __init__(self, trace: "Trace | Complete", name: str, parent: "Span | None", began: float) -> None:
        self.trace, self.name, self.parent, self.began = trace, name, parent, began
        self.ended, self.error = 0.0, ""
        self.attributes: Mapping[str, Any] | None = None

    def note(self, attributes: Mapping[str, Attribute | None]) -> None:
        """Add attributes; those that are None are left out, long texts cut."""
        known = {name: _short(value) for name, value in attributes.items() if value is not None}
        self.attributes = {**self.attributes, **known} if self.attributes else known


def _short(value: Attribute) -> Attribute:
    return value[:LONGEST_VALUE] if isinstance(value, str) else value


class Trace:
    """The spans of one question or task, the root first. Spans may be added from any thread.

    It is complete when everybody who held it has let go: the request itself, and the work it began in other threads.
    """

    __slots__ = (
        *(
            "complete",
            "hold_count",
            "kind",
            "left_out",
            "parent_id",
            "query_id",
            "root",
            "route",
            "sampled",
            "started_at",
        ),
        *("_caller", "_steps", "status"),
    )

    def __init__(
        self, query_id: str, began: float | None = None, traceparent: bytes = b"", complete: "OnComplete | None" = None
    ) -> None:
        self.query_id = query_id
        self.kind = "task" if len(query_id) == 32 else "query_id"  # what the log calls it
        self.started_at = time.time()
        self._caller, self.parent_id, self.sampled = "", "", True
        given = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if given is not None:
            self._caller, self.parent_id = given[1].decode(), given[2].decode()
            self.sampled = bool(int(given[3], 16) & 1)
        self.route = ""
        self.status = 0
        self.complete = complete
        self.hold_count = 1
        self.left_out: dict[str, list[float]] = {}  # by name: [spans, seconds]
        self.root = Span(self, "", None, time.perf_counter() if began is None else began)
        self._steps: list[Span | tuple[str, float, float]] = []  # the other spans; plain ones below the root as tuples

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits: the caller's, or made of the query id, which is random."""
        if self._caller or len(self.query_id) == 32:
            return self._caller or self.query_id
        return hashlib.blake2b(self.query_id.encode(), digest_size=8).hexdigest() + self.query_id

    @property
    def spans(self) -> list[Span]:
        """All spans that are kept, the root first."""
        return [self.root, *(one if isinstance(one, Span) else self._plain(*one) for one in list(self._steps))]

    def _plain(self, name: str, began: float, ended: float) -> Span:
        made = Span(self, name, self.root, began)
        made.ended = ended
        return made

    def __len__(self) -> int:
        """The number of spans."""
        return len(self._steps) + 1

    @property
    def seconds(self) -> float:
        """How long the root took, until now where it goes on."""
        return (self.root.ended or time.perf_counter()) - self.root.began

    @property
    def failed(self) -> bool:
        """Whether the appliance itself failed; a question that was refused for its own fault did not."""
        return self.status >= 500

    def end(self, route: str, status: int, attributes: Mapping[str, Any], ended: float) -> None:
        """The root has ended: `status` is an HTTP status, `attributes` are those of its log line."""
        root = self.root
        self.route, self.status, root.ended = route, status, ended
        root.name = route
        root.attributes = {**root.attributes, **attributes} if root.attributes else attributes
        if status >= 400:
            root.error = str(attributes.get("code") or status)

    def span_id(self, index: int) -> str:
        """The id of the span with this place in `spans`: 16 hexadecimal digits."""
        return f"{(int(self.query_id[:16], 16) + index) & _MASK or 1:016x}"

    def add(self, step: "Span | tuple[str, float, float]") -> bool:
        """Keep a span; False when there are MOST_SPANS already: it is then for `sum_up`."""
        if len(self._steps) >= MOST_SPANS - 1:
            return False
        self._steps.append(step)
        return True

    def sum_up(self, span: Span) -> None:
        """Count a span that has ended and was not kept."""
        with _SUMMING:
            known = self.left_out.setdefault(span.name, [0, 0.0])
            known[0] += 1
            known[1] += span.ended - span.began

    def hold(self) -> None:
        """More work goes on for it. From the thread that will let go."""
        self.hold_count += 1

    def let_go(self) -> None:
        """One part of the work is done; the last one completes the trace."""
        self.hold_count -= 1
        if not self.hold_count:
            self._detach()
            if self.complete is not None:
                self.complete(self)

    def _detach(self) -> None:
        """Have the spans forget it, so that it is freed when the last shelf gives it up. Rings of objects wait for the
        cyclic collector: with a few thousand answers a second it stopped everybody for 20 ms, three times a second.
        """
        self.root.trace = complete = Complete(self.kind, self.query_id)
        for step in self._steps:
            if isinstance(step, Span):
                step.trace = complete


class Complete:
    """In the place of a trace that is complete: whose it was, for the log. Nothing is added to it any more."""

    __slots__ = ("kind", "query_id")

    def __init__(self, kind: str, query_id: str) -> None:
        self.kind, self.query_id = kind, query_id

    def add(self, step: "Span | tuple[str, float, float]") -> bool:
        """Too late."""
        return True

    def sum_up(self, span: Span) -> None:
        """Too late."""


OnComplete = Callable[[Trace], None]
CURRENT: Final[contextvars.ContextVar[Span | None]] = contextvars.ContextVar("span", default=None)


class span(Span):
    """Times its body as a child of the span under way, if there is one; an error that leaves it is its status.

    It is that child itself: another object for each step would be a third of what a step costs.
    """

    __slots__ = ("_kept", "_token")

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        self._token: contextvars.Token[Span | None] | None = None
        parent = CURRENT.get()
        if parent is not None:
            self.trace, self.parent = parent.trace, parent
            self.ended, self.error, self.attributes = 0.0, "", None
            self._kept = parent.trace.add(self)
            self._token = CURRENT.set(self)
        self.began = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.ended = time.perf_counter()
        if self._token is None:
            return
        CURRENT.reset(self._token)
        self._token = None  # it holds the span before, and is never used twice
        if error is not None:
            self.error = code_of(error)
        if not self._kept:
            self.trace.sum_up(self)


def record(name: str, began: float, ended: float, **attributes: Attribute | None) -> None:
    """A step that was timed elsewhere, as a child of the span under way."""
    parent = CURRENT.get()
    if parent is None or (not attributes and parent.parent is None and parent.trace.add((name, began, ended))):
        return
    made = Span(parent.trace, name, parent, began)
    made.ended = ended
    if attributes:
        made.note(attributes)
    if not parent.trace.add(made):
        parent.trace.sum_up(made)


def note(**attributes: Attribute | None) -> None:
    """Attributes for the span under way: counts and choices, never text of questions or documents."""
    current = CURRENT.get()
    if current is not None:
        current.note(attributes)


def current_trace() -> Trace | None:
    """The trace that this thread works for."""
    current = CURRENT.get()
    trace = current.trace if current is not None else None
    return trace if isinstance(trace, Trace) else None


def carried(work: Callable[[], T]) -> Callable[[], T]:
    """The same work with the caller's context, for another thread: its spans and log lines belong to the question."""
    context = contextvars.copy_context()
    return lambda: context.run(work)


def code_of(error: BaseException) -> str:
    """The stable code of an error of ours, else the name of its class."""
    return str(getattr(error, "code", "") or type(error).__name__)
