"""Around every request: its id, the checks no route may skip, security headers, one log line, one measurement."""

import asyncio
import ipaddress
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from litestar.types import ASGIApp
from prometheus_client import Histogram

from appliance.config import Settings
from appliance.errors import ApplianceError, Forbidden, Overloaded
from appliance.telemetry import log as telemetry_log
from appliance.telemetry.log import OFTEN
from appliance.telemetry.metrics import HTTP_IN_FLIGHT, HTTP_SECONDS
from appliance.telemetry.traces import Traces
from appliance.telemetry.tracing import Trace, record
from appliance.web.endpoint import Receive, Scope, Send, header
from appliance.web.problems import problem_reply

log = telemetry_log.get(__name__)

FLUSH_S = 0.2  # writing lets go of the interpreter, and whoever computes may have it for a while then
BESIDE_QUESTIONS = 200  # requests in flight that are allowed on top of the questions
_QUIET = frozenset({"/health", "/health/ready", "/metrics", "/assets/{name}"})
QUESTIONS = frozenset({"/query", "/search", "/v1/chat/completions", "/v1/embeddings"})  # whose traces are kept
_OPEN = frozenset({"/health", "/health/ready", "/metrics"})  # answered even when everything else is refused
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are no label
_NO_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_COMMON = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class MisdirectedRequest(ApplianceError):
    status = 421
    default_code = "foreign_host"


class Envelope:
    """The outermost ASGI application; `inner` is Litestar's router."""

    def __init__(
        self, inner: ASGIApp, settings: Settings, traces: Traces, draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._inner = inner
        self._traces = traces
        self._draining = draining
        self._hosts = _allowed_hosts(settings.host, settings.allowed_hosts)
        self._limit = settings.query_concurrency + BESIDE_QUESTIONS
        self._in_flight = 0
        HTTP_IN_FLIGHT.set_function(lambda: self._in_flight)
        self._flushing = False  # lines of the log wait, and will be written soon
        self._flushed_at = 0.0
        self._seconds: dict[tuple[str, str, str], Histogram] = {}  # bounded: methods x routes x status classes
        for route in QUESTIONS:
            HTTP_SECONDS.labels("POST", route, "5xx")  # there from the start: a first failure is an increase

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            await self._inner(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        query_id = f"{random.getrandbits(64):016x}"  # a name, not a secret
        trace = self._traces.begin(query_id, started, header(scope, b"traceparent"))
        trace.here()  # a request has a task, and so a context, of its own
        scope.update({"query_id": query_id, "started": started, "fields": {}})
        sent = _Sent(send, query_id, self._draining)
        self._in_flight += 1
        try:
            await self._admit(scope)(scope, receive, sent)
        except asyncio.CancelledError:
            sent.status = sent.status or 499
            raise
        except Exception as error:  # noqa: BLE001 - the last stop: logged by problem_reply, answered with a 500 problem
            await problem_reply(error, scope)(scope, receive, sent)
        finally:
            self._in_flight -= 1
            self._record(scope, sent, trace)

    def _admit(self, scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """What answers this request: the router, or the problem that keeps it out."""
        problem = self._foreign(scope)
        if problem is None and self._in_flight > self._limit and scope["path"] not in _OPEN:
            problem = Overloaded(f"{self._limit} requests are being worked on already.", code="too_many_requests")
        return self._inner if problem is None else problem_reply(problem, scope)

    def _foreign(self, scope: Scope) -> ApplianceError | None:
        """DNS rebinding and cross-site requests: a web page of another origin must not reach this host's documents."""
        host = header(scope, b"host").decode("latin-1")
        if not self._ours(host):
            shown = host[:100]
            return MisdirectedRequest(
                f"This server is not known as {shown!r}.",
                hint="Use its address, or add the name to the setting allowed_hosts.",
            )
        site = header(scope, b"sec-fetch-site")
        origin = header(scope, b"origin").decode("latin-1")
        foreign = site not in {b"same-origin", b"none"} if site else bool(origin) and urlsplit(origin).netloc != host
        if foreign:
            if scope["method"] in {"GET", "HEAD"} and header(scope, b"sec-fetch-mode") == b"navigate":
                return None  # a link from elsewhere that a person followed
            return Forbidden(
                "A page of another site may not call this server.",
                code="cross_site_request",
                hint="Open the appliance's own page, or call it from a program.",
            )
        return None

    def _ours(self, host: str) -> bool:
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().rstrip(".")
        return name in self._hosts or _is_address(name.strip("[]"))

    def _record(self, scope: Scope, sent: "_Sent", trace: Trace) -> None:
        ended = perf_counter()
        seconds = ended - scope["started"]
        status = scope.get("failed") or sent.status or 499  # of a stream that failed: what it failed with
        route = str(scope.get("path_template") or "unmatched")
        method = scope["method"] if route != "unmatched" and scope["method"] in _METHODS else "ANY"
        kind = f"{status // 100}xx"
        series = self._seconds.get((method, route, kind))
        if series is None:
            series = self._seconds[(method, route, kind)] = HTTP_SECONDS.labels(method, route, kind)
        series.observe(seconds)
        line = {
            "query_id": trace.query_id,
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "principal": getattr(scope.get("principal"), "id", ""),
            **scope["fields"],
        }
        if sent.began:
            record("send", sent.began, ended)
        trace.end(route, status, line, ended)
        if route not in QUESTIONS and not trace.failed:
            trace.kept = False
        trace.let_go()
        if route in _QUIET and status < 400:
            log.debug("request", **line)
        elif OFTEN.info(__name__, "request", line):
            self._flush_soon(ended)

    def _flush_soon(self, now: float) -> None:
        """A line is written at once when none was for FLUSH_S, else with those that come until then."""
        if self._flushing:
            return
        wait_s = self._flushed_at + FLUSH_S - now
        if wait_s <= 0:
            self._flush()
        else:
            self._flushing = True
            asyncio.get_running_loop().call_later(wait_s, self._flush)

    def _flush(self) -> None:
        self._flushing, self._flushed_at = False, perf_counter()
        OFTEN.flush()


class _Sent:
    """`send` with our headers added to the response's start."""

    __slots__ = ("_draining", "_head", "_send", "began", "status")

    def __init__(self, send: Send, query_id: str, draining: Callable[[], bool]) -> None:
        self._send = send
        self._draining = draining
        self._head = (b"x-query-id", query_id.encode())
        self.status = 0
        self.began = 0.0  # when the first byte was handed on, by perf_counter()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.began = perf_counter()
            headers: list[tuple[bytes, bytes]] = [*message["headers"], self._head, *_COMMON]
            names = {name for name, _ in headers}
            if b"content-security-policy" not in names:
                headers.append(_NO_PAGE)
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
            if self._draining():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)


def _allowed_hosts(configured: str, more: Sequence[str]) -> frozenset[str]:
    """Names under which this server may be asked for; addresses are always allowed, a rebound name is not one."""
    names = {"localhost", configured.lower(), *more}
    if not _is_loopback(configured):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def fields(scope: Scope) -> dict[str, Any]:
    """What a route adds to the request's log line."""
    found: dict[str, Any] = scope["fields"]
    return found
