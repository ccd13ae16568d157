"""Traces to a collector, as OTLP over HTTP in its JSON form (opentelemetry.io/docs/specs/otlp). Off by default.

A thread of its own sends what has gathered; nobody ever waits for it. What a slow or absent collector leaves no room
for is dropped and counted. The official exporter would bring requests and twelve other packages for these lines.
"""

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from appliance import __version__
from appliance.telemetry.metrics import TRACES_DROPPED, TRACES_EXPORTED
from appliance.telemetry.traces import Traces
from appliance.telemetry.tracing import Span, Trace

if TYPE_CHECKING:
    import httpx

MOST_WAITING = 1000  # traces
BATCH_TRACES = 100  # in one request; of at most 400 spans each
EVERY_S = 1.0
TIMEOUT_S = 5.0  # of each part of a request: connecting, sending, waiting for an answer
TRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S = 4, 1.0, 30.0
LAST_S = 3.0  # for what is left when the server stops
_AGAIN = frozenset({429, 502, 503, 504})  # answers after which the specification lets a client try again
_SERVER, _INTERNAL, _OK, _ERROR = 2, 1, 1, 2  # SpanKind and StatusCode
_NAMES = {"method": "http.request.method", "route": "http.route", "status": "http.response.status_code"}

log = structlog.get_logger(__name__)


class Exporter:
    """Sends traces to `endpoint`/v1/traces until it is closed. `offer` is safe from any thread and never waits."""

    def __init__(self, endpoint: str) -> None:
        path = "" if endpoint.rstrip("/").endswith("/v1/traces") else "/v1/traces"
        self._url = endpoint.rstrip("/") + path
        self._waiting: deque[Trace] = deque()
        self._closing = threading.Event()
        self._until = float("inf")
        self._well = True
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def offer(self, trace: Trace) -> None:
        """Take a complete trace along, unless its caller sampled it out or too many wait."""
        if not trace.sampled:
            return
        if len(self._waiting) >= MOST_WAITING:
            TRACES_DROPPED.labels("queue_full").inc()
        else:
            self._waiting.append(trace)

    def close(self) -> None:
        """Send what is left, for LAST_S at most."""
        self._until = time.monotonic() + LAST_S
        self._closing.set()
        self._thread.join(LAST_S)

    def _run(self) -> None:
        import httpx  # only where traces are sent

        with httpx.Client(verify=ssl.create_default_context(), timeout=TIMEOUT_S, trust_env=False) as http:
            while not self._closing.wait(EVERY_S):
                self._send_all(http)
            self._send_all(http)

    def _send_all(self, http: "httpx.Client") -> None:
        while self._waiting and time.monotonic() < self._until:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_TRACES, len(self._waiting)))]
            failure = self._send(http, request(batch))
            if failure:
                TRACES_DROPPED.labels(failure).inc(len(batch))
            else:
                TRACES_EXPORTED.inc(len(batch))

    def _send(self, http: "httpx.Client", body: bytes) -> str:
        """Why a batch could not be delivered; empty when it was. Waits longer after each try that may be repeated."""
        import httpx

        pause = FIRST_PAUSE_S
        for attempt in range(1, TRIES + 1):
            failure, detail = "unreachable", ""
            try:
                answer = http.post(self._url, content=body, headers={"content-type": "application/json"})
                if answer.is_success:
                    self._tell(well=True)
                    return ""
                failure, detail = "refused", f"status {answer.status_code}"
            except httpx.HTTPError as error:
                detail = type(error).__name__
            self._tell(well=False, failure=failure, detail=detail)
            if (failure == "refused" and answer.status_code not in _AGAIN) or attempt == TRIES:
                return failure
            if self._closing.wait(pause):
                return failure
            pause = min(LONGEST_PAUSE_S, 2 * pause)
        return failure

    def _tell(self, *, well: bool, **fields: str) -> None:
        """A line in the log when the collector stops taking traces, and when it takes them again."""
        if well is not self._well:
            self._well = well
            (log.info if well else log.warning)("traces_exported" if well else "traces_not_exported", **fields)


@contextmanager
def exported(traces: Traces, endpoint: str) -> Iterator[None]:
    """Within the block every trace goes to `endpoint` as well; without one, nothing is done."""
    if not endpoint:
        yield
        return
    exporter = Exporter(endpoint)
    traces.passed_on = exporter.offer
    try:
        yield
    finally:
        traces.passed_on = None
        exporter.close()


def request(batch: Sequence[Trace]) -> bytes:
    """An ExportTraceServiceRequest in JSON: ids in hexadecimal, 64-bit integers as text, enums as numbers."""
    resource = {"service.name": "rag-appliance", "service.version": __version__}
    scope = {"name": "appliance", "version": __version__}
    spans = [_span(trace, span, place) for trace in batch for place, span in enumerate(trace.spans)]
    found = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [{"scope": scope, "spans": spans}]}
    return msgspec.json.encode({"resourceSpans": [found]})


def _span(trace: Trace, span: Span, place: int) -> dict[str, Any]:
    began = trace.started_at + (span.began - trace.began)
    ended = began + max(0.0, (span.ended or trace.ended) - span.began)
    names = _NAMES if not place else {}
    renamed = {names.get(name, f"rag.{name}"): value for name, value in span.attributes.items()}
    if not place:
        renamed["rag.query_id"] = trace.query_id
    if span.error:
        renamed["error.type"] = span.error
    method = span.attributes.get("method") if not place else None
    return {
        "traceId": trace.trace_id,
        "spanId": trace.span_id(place),
        "parentSpanId": trace.parent_id if not place else trace.span_id(span.parent),
        "name": f"{method} {span.name}" if method else span.name,
        "kind": _INTERNAL if place or trace.route == "ingest" else _SERVER,
        "startTimeUnixNano": str(int(began * 1e9)),
        "endTimeUnixNano": str(int(ended * 1e9)),
        "attributes": _attributes(renamed),
        "status": {"code": _ERROR, "message": span.error} if _failed(span, place, trace) else {"code": _OK},
    }


def _failed(span: Span, place: int, trace: Trace) -> bool:
    """A server's span failed where the server did (semantic conventions for HTTP): status 500 and above."""
    return bool(span.error) and (place > 0 or trace.failed)


def _attributes(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in given.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)[:200]}
