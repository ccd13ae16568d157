"""/health, /health/ready, /metrics: for supervisors and monitors."""

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
    body = await web.monitors.run(lambda: metrics.render(_readings(web)))
    return Reply(body, media_type=metrics.CONTENT_TYPE.encode())


def _readings(web: Rooms) -> Readings:
    """What the parts say, and the questions that are in work here."""
    found = {sampled: list(values) for sampled, values in web.observer.readings().items()}
    active, queued, limit = web.questions.load
    found[gauges.QUESTIONS] = [(("active",), float(active)), (("queued",), float(queued))]
    found.setdefault(gauges.QUEUE_DEPTH, []).append((("questions",), float(active + queued)))
    found.setdefault(gauges.QUEUE_LIMIT, []).append((("questions",), float(limit)))
    return found
