"""The appliance without tracing, metrics and the log: what `bench overhead` compares with, never for use.

It takes them out of the running process, so that no setting exists by which an operator could lose them, and puts them
back: with and without, it is the same process, with the same memory.
"""

import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

from prometheus_client import Gauge
from prometheus_client.metrics import MetricWrapperBase

from appliance.telemetry import log
from appliance.telemetry.counter import Counter
from appliance.telemetry.histogram import Histogram
from appliance.telemetry.stages import OBSERVERS
from appliance.telemetry.steps import CURRENT, Place, observe_with
from appliance.telemetry.traces import Traces
from appliance.web.envelope import Envelope


class _NoTrace:
    """What a request or a task without a trace has in its place."""

    query_id = ""
    status = 0
    kept = True

    def here(self) -> contextvars.Token[Place | None]:
        """No thread works for it."""
        return CURRENT.set(None)

    def end(self, *_: object) -> None:
        """Nobody will see it."""

    def let_go(self) -> None:
        """It was not held."""


def strip() -> Callable[[], None]:
    """Take all of it out of this process; returns what puts it back. Recording the audit of changes stays: no question
    writes to it.
    """

    def nothing(*_: Any, **__: Any) -> None:
        return None

    def same(self: MetricWrapperBase, *_: Any, **__: Any) -> MetricWrapperBase:
        return self

    patches: list[tuple[type, str, Any]] = [
        *((kind, name, nothing) for kind in (Counter, Gauge) for name in ("inc",)),
        *((Gauge, name, nothing) for name in ("dec", "set", "set_function")),
        (Histogram, "observe", nothing),
        (MetricWrapperBase, "labels", same),
        (Counter, "count_exceptions", lambda *_: contextlib.nullcontext()),
        (Traces, "begin", lambda *_, **__: _NoTrace()),
        (Envelope, "_record", nothing),
    ]
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in patches]
    for owner, name, instead in patches:
        setattr(owner, name, instead)
    observe_with(None)
    log.configure("error", "json")

    def restore() -> None:
        for owner, name, own in before:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
        observe_with(OBSERVERS)
        log.configure("info", "json")

    return restore
