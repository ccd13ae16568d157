"""`steps.cpp`: the steps of one question or task, timed and put down side by side, compiled."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from appliance.telemetry.tracing import Trace

Attribute: TypeAlias = str | int | float | bool | None
Row: TypeAlias = tuple[str, int, float, float, str | None, dict[str, Any] | None]

MOST_STEPS: Final = 400  # kept of one trace; what comes after is summed up by name
CURRENT: Final[ContextVar[Place | None]]  # where this thread is

class Total:
    """What a counter adds up. The lock of the interpreter is its own."""

    observable: bool  # whether it adds up: not so where a metric has labels, and only its series do

    @property
    def total(self) -> float: ...
    def inc(self, amount: float = 1, /) -> None:
        """Count `amount` more. Raises ValueError when it is below zero, or where there are labels."""

class Buckets:
    """What a histogram adds up. The lock of the interpreter is its own."""

    def bound_by(self, bounds: Sequence[float], /) -> None:
        """It begins: ascending bounds of buckets, the last one infinite. Raises ValueError for more than 32."""

    def observe(self, amount: float, /) -> None:
        """Count `amount` (seconds or bytes) in the first bucket whose bound is not below it. Raises ValueError where
        there are labels.
        """

    def read(self) -> tuple[float, list[float]]:
        """The sum, and how many amounts each bucket holds."""

class Steps:
    """Steps in the order in which they began, the root first; times are `time.perf_counter()` seconds.

    It is complete, and `complete` called with it, when everybody who held it has let go. Beyond MOST_STEPS,
    `sum_up(name, seconds)` is called for each that has ended; a subclass has it, and `summed` to put it in.
    """

    query_id: Final[str]
    traceparent: Final[bytes]  # of the caller, empty where there is none
    started_at: Final[float]  # seconds since 1970
    hold_count: Final[int]
    over: Final[bool]  # nothing is added any more
    status: int  # an HTTP status, 0 before the end
    live: bool  # each is counted in the histogram when it ends, not all of them by `count`
    kept: bool  # shown when it is complete; others are only counted
    summed: dict[str, list[float]] | None

    def __init__(
        self,
        query_id: str,
        began: float | None = None,
        traceparent: bytes = b"",
        complete: Callable[[Trace], None] | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def route(self) -> str:
        """Empty before the end."""

    @property
    def failed(self) -> bool:
        """Whether the appliance itself failed; a question that was refused for its own fault did not."""

    @property
    def began(self) -> float: ...
    @property
    def ended(self) -> float:
        """When the root ended, 0 while it goes on."""

    @property
    def seconds(self) -> float:
        """How long the root took, until now where it goes on."""

    def here(self) -> Token[Place | None]:
        """This thread begins to work for it, at its root. Returns what `CURRENT.reset` takes."""

    def end(self, route: str, status: int, attributes: dict[str, Any], ended: float, /) -> None:
        """The root has ended: `status` is an HTTP status, `attributes` are those of its log line, which stay as they
        are from now on.
        """

    def hold(self) -> None:
        """More work goes on for it. From the thread that will let go."""

    def let_go(self) -> None:
        """One part of the work is done; the last one completes the trace."""

    def count(self) -> None:
        """Count the steps below the root in the histogram."""

    def read(self) -> list[Row]:
        """Name, place of the parent, began, ended, error and attributes of every step."""

class Place:
    """Where a thread is in a trace: at the step that is under way. Stages move it, and so every thread has its own."""

    def __init__(self, trace: Steps, at: int = 0, /) -> None: ...
    @property
    def trace(self) -> Trace: ...
    @property
    def at(self) -> int: ...
    @property
    def query_id(self) -> str: ...

class stage:
    """A step of the trace that this thread works for, if there is one; an error that leaves the body is its status.

    It is counted in the stage histogram, and added to `ms`, milliseconds by stage, where it is given.
    """

    def __init__(self, name: str, ms: dict[str, float] | None = None, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /
    ) -> None: ...

def record(name: str, began: float, ended: float, /, **attributes: Attribute) -> None:
    """A stage that was timed elsewhere, below the step under way."""

def note(**attributes: Attribute) -> None:
    """Attributes for the step under way: counts and choices, never text of questions or documents. Those that are None
    are left out, long texts cut.
    """

def observe_with(observers: Mapping[str, Buckets] | None, /) -> None:
    """What counts the seconds of each stage, by its name; None: nothing. Those of a trace are counted when it is
    complete, the others at once.
    """
