"""/admin/traces: where the time of a question or an ingestion task went."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.errors import NotFound
from appliance.telemetry.traces import ERRORS, NEWEST, SLOWEST, Shelf
from appliance.telemetry.tracing import Span, Trace
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_parameters, reply
from appliance.web.rooms import rooms


class TracesParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which traces: `shelf` is newest, slowest (of the last hour) or errors; the others leave some out."""

    shelf: Shelf = "newest"
    route: str | None = None
    min_ms: Annotated[float, Meta(ge=0)] = 0.0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class SpanBody(msgspec.Struct, frozen=True):
    """One step. `start_ms` counts from the beginning of the trace, `parent` is a place in `spans` (null: the root).

    `status` is ok, the code of an error, or `unfinished`.
    """

    name: str
    parent: int | None
    start_ms: float
    duration_ms: float
    status: str
    attributes: dict[str, Any]


class LeftOutBody(msgspec.Struct, frozen=True):
    """Spans of one name that were too many to be kept, in sum."""

    spans: int
    ms: float


class TraceLine(msgspec.Struct, frozen=True):
    """A trace in a list; `longest` is its longest step that holds no other, `started_at` seconds since 1970."""

    query_id: str
    route: str
    started_at: float
    duration_ms: float
    status: int
    code: str
    cache_hit: bool
    longest: str
    longest_ms: float


class TracesBody(msgspec.Struct, frozen=True):
    """Traces, latest first, or slowest first; `seen` counts all since the start."""

    traces: list[TraceLine]
    seen: int


class TraceBody(msgspec.Struct, frozen=True):
    """One trace. `spans` begin with the root; `left_out` sums up by name those beyond the first 400."""

    query_id: str
    trace_id: str
    parent_span_id: str
    route: str
    started_at: float
    duration_ms: float
    status: int
    spans: list[SpanBody]
    left_out: dict[str, LeftOutBody]


class TraceGone(NotFound):
    default_code = "trace_gone"


@get("/admin/traces", opt=endpoint(Role.ADMIN, "admin", parameters=TracesParameters, returns=TracesBody))
async def list_traces(request: Request[Any, Any, Any]) -> ASGIApp:
    """The last questions and ingestion tasks, and how long they took."""
    asked = read_parameters(request, TracesParameters)
    traces = rooms(request).appliance.traces
    found = [
        one
        for one in traces.list(asked.shelf)
        if asked.route in (None, one.route) and one.seconds * 1000 >= asked.min_ms
    ]
    return reply(TracesBody([_line(one) for one in found[: asked.limit]], traces.count()))


@get("/admin/traces/{query_id:str}", opt=endpoint(Role.ADMIN, "admin", returns=TraceBody))
async def show_trace(request: Request[Any, Any, Any], query_id: FromPath[str]) -> ASGIApp:
    """Every step of one question or task: when it began, how long it took, what it was part of."""
    found = rooms(request).appliance.traces.get(query_id)
    if found is None:
        raise TraceGone(
            f"There is no trace of {query_id[:80]!r}.",
            hint=f"Kept in memory: the newest {NEWEST}, the {SLOWEST} slowest of each route in the last hour and "
            f"the last {ERRORS} that failed. Its line in the log stays.",
        )
    return reply(_body(found))


def _line(trace: Trace) -> TraceLine:
    root, *steps = trace.spans
    inner = {one.parent for one in steps}
    longest = max((one for at, one in enumerate(steps, 1) if at not in inner), key=_seconds, default=None)
    return TraceLine(
        *(trace.query_id, trace.route, trace.started_at, round(trace.seconds * 1000, 3), trace.status),
        *(root.error, bool(root.attributes.get("cache_hit"))),
        *((longest.name, round(_seconds(longest) * 1000, 3)) if longest is not None else ("", 0.0)),
    )


def _seconds(span: Span) -> float:
    return span.ended - span.began if span.ended else 0.0


def _body(trace: Trace) -> TraceBody:
    return TraceBody(
        *(trace.query_id, trace.trace_id, trace.parent_id, trace.route, trace.started_at),
        *(round(trace.seconds * 1000, 3), trace.status),
        [_span(span, trace) for span in trace.spans],
        {name: LeftOutBody(int(count), round(seconds * 1000, 3)) for name, (count, seconds) in trace.left_out.items()},
    )


def _span(span: Span, trace: Trace) -> SpanBody:
    parent = None if span.parent < 0 else span.parent
    seconds = span.ended - span.began if span.ended else trace.seconds - (span.began - trace.began)
    status = span.error or ("ok" if span.ended else "unfinished")
    start_ms = round((span.began - trace.began) * 1000, 3)
    return SpanBody(span.name, parent, start_ms, round(max(0.0, seconds) * 1000, 3), status, dict(span.attributes))


ROUTES: tuple[HTTPRouteHandler, ...] = (list_traces, show_trace)
