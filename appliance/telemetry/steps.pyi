"""`steps.cpp`: the steps of one question or task, timed and put down side by side, compiled."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from appliance.telemetry.tracing import Trace

Attribute: TypeAlias = str | int | float | bool | None
Observer: TypeAlias = tuple[list[float], Callable[[], None]]  # for the seconds, and what counts them when they are many
Row: TypeAlias = tuple[str, int, float, float, str | None, dict[str, Any] | None]

MOST_STEPS: Final = 400  # kept of one trace; what comes after is summed up by name
MOST_UNCOUNTED: Final = 128  # amounts put down before somebody counts them
CURRENT: Final[ContextVar[Place | None]]  # where this thread is

class Steps:
    """Steps in the order in which they began, the root first; times are `time.perf_counter()` seconds.

    Beyond MOST_STEPS, `sum_up(name, seconds)` is called for each that has ended; a subclass has it.
    """

    query_id: Final[str]
    over: bool  # nothing is added any more
    live: bool  # each is counted in the histogram when it ends, not all of them by `count`

    def __init__(self, query_id: str, began: float, /) -> None: ...
    def __len__(self) -> int: ...
    @property
    def began(self) -> float: ...
    @property
    def ended(self) -> float:
        """When the root ended, 0 while it goes on."""

    @property
    def seconds(self) -> float:
        """How long the root took, until now where it goes on."""

    def close(self, name: str, ended: float, error: str, attributes: dict[str, Any], /) -> None:
        """The root has ended. `attributes` stay as they are from now on."""

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

def observe_with(observers: Mapping[str, Observer] | None, /) -> None:
    """Where the seconds of each stage are put down, by its name; None: nowhere. Those of a trace are put down when it
    is complete, the others at once.
    """
