"""/health, /health/ready, /metrics: for supervisors and monitors."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, get
from litestar.types import ASGIApp

from appliance import __version__
from appliance.telemetry import gauges, metrics
from appliance.telemetry.exposition import Readings
from appliance.types import Role
from appliance.web.endpoint import Reply, endpoint, reply
from appliance.web.rooms import Rooms, rooms

PATIENCE_S = 0.005  # that a page waits for a new look where an earlier one can serve
OLDEST_S = 30.0  # an earlier look that can serve


class HealthBody(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: str
    version: str


class ComponentBody(msgspec.Struct, frozen=True):
    """One part; `detail` is for people."""

    ready: bool
    detail: str


class ReadyBody(msgspec.Struct, frozen=True):
    """Whether questions can be answered, and every part by name."""

    ready: bool
    components: dict[str, ComponentBody]


@get("/health", opt=endpoint(None, "state", returns=HealthBody))
async def health(request: Request[Any, Any, Any]) -> ASGIApp:
    """Liveness: answers as long as the process does; touches nothing else."""
    return reply(HealthBody("ok", __version__))


@get("/health/ready", opt=endpoint(None, "state", returns=ReadyBody))
async def ready(request: Request[Any, Any, Any]) -> ASGIApp:
    """Readiness of every part; 503 when questions cannot be answered, not when answers are merely extractive."""
    web = rooms(request)
    parts = await web.desk.run(web.appliance.readiness)
    components = {name: ComponentBody(part.ready, part.detail) for name, part in parts.items()}
    body = ReadyBody(all(part.ready or not part.needed for part in parts.values()), components)
    return reply(body, 200 if body.ready else 503)


@get(
    "/metrics",
    opt=endpoint(Role.READER, "state", media=("text/plain",), open_from_loopback=True),
)
async def prometheus(request: Request[Any, Any, Any]) -> ASGIApp:
    """All metrics for Prometheus; without a key from this host itself."""
    web = rooms(request)
    seen = web.observer.known() or await _looked_up(web)
    web.appliance.traces.count()
    return Reply(metrics.render(_with_questions(seen, web)), media_type=metrics.CONTENT_TYPE.encode())


async def _looked_up(web: Rooms) -> Readings:
    """What the parts say. A look crosses the interpreter's lock a hundred times: where questions compute it takes long,
    and what was seen before it serves as well.
    """
    looking = asyncio.ensure_future(web.monitors.run(web.observer.readings))
    before = web.observer.known(OLDEST_S)
    if before is not None:
        done, _ = await asyncio.wait({looking}, timeout=PATIENCE_S)
        if not done:
            looking.add_done_callback(lambda late: late.cancelled() or late.exception())
            return before
    return await looking


def _with_questions(seen: Readings, web: Rooms) -> Readings:
    """What the parts say, and the questions that are in work here."""
    found = {sampled: list(values) for sampled, values in seen.items()}
    active, queued, limit = web.questions.load
    found[gauges.QUESTIONS] = [(("active",), float(active)), (("queued",), float(queued))]
    found.setdefault(gauges.QUEUE_DEPTH, []).append((("questions",), float(active + queued)))
    found.setdefault(gauges.QUEUE_LIMIT, []).append((("questions",), float(limit)))
    return found
