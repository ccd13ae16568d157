"""/admin/canary: a share of the questions under other flags, how it does, and its end."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.app import Appliance
from appliance.flags.canary import Spec
from appliance.flags.verdict import FALSE_ALARM, Limits
from appliance.store.flags import EVERYWHERE
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.flags import Value
from appliance.web.guards import principal_of
from appliance.web.rooms import rooms


class NewCanary(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`share` of the questions (to one `collection`, or to all) gets `flags`; `limits` says what it may do worse."""

    share: Annotated[float, Meta(gt=0, le=0.5)]
    flags: Annotated[dict[str, Value], Meta(min_length=1, max_length=50)]
    collection: str | None = None
    limits: Limits = Limits()


class CanaryEnd(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Why, for the record."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class SideBody(msgspec.Struct, frozen=True):
    """What was seen of one side, cached answers and repeats left out; at most the last 2,000 questions."""

    questions: int
    failed: int
    declined: int
    p95_ms: float


class CanaryBody(msgspec.Struct, frozen=True):
    """The canary that runs, or the last one: `state` is none, running, stopped, promoted or rolled_back.

    `looks` counts the comparisons so far, `next_look` at how many questions of the canary the next one comes;
    `false_alarm` bounds the chance that one which is no worse is rolled back. Times in seconds since the epoch.
    """

    state: str
    reason: str = ""
    collection: str = ""
    share: float = 0.0
    flags: dict[str, Value] = {}
    limits: Limits = Limits()
    started_at: float | None = None
    ended_at: float | None = None
    looks: int = 0
    next_look: int = 0
    false_alarm: float = FALSE_ALARM
    sides: dict[str, SideBody] = {}


@get("/admin/canary", opt=endpoint(Role.ADMIN, "admin", returns=CanaryBody))
async def show_canary(request: Request[Any, Any, Any]) -> ASGIApp:
    """The canary and what was seen of both sides."""
    web = rooms(request)
    return reply(await web.desk.run(lambda: _body(web.appliance)))


@post("/admin/canary", status_code=201, opt=endpoint(
    Role.ADMIN, "admin", body=(NewCanary,), returns=CanaryBody, status=201
))  # fmt: skip
async def start_canary(request: Request[Any, Any, Any]) -> ASGIApp:
    """Answer a share of the questions under other flags, until it is promoted, stopped, or rolled back by itself."""
    web = rooms(request)
    wanted = await read_json(request, NewCanary)
    spec = Spec(
        share=wanted.share, flags=wanted.flags, collection=wanted.collection or EVERYWHERE, limits=wanted.limits
    )
    by = principal_of(request.scope).id

    def work() -> CanaryBody:
        if wanted.collection is not None:
            web.appliance.collections.index(wanted.collection)
        web.appliance.canary.start(spec, by)
        return _body(web.appliance)

    return reply(await web.desk.run(work), 201)


@post("/admin/canary/promote", status_code=200, opt=endpoint(
    Role.ADMIN, "admin", body=(CanaryEnd,), returns=CanaryBody
))  # fmt: skip
async def promote_canary(request: Request[Any, Any, Any]) -> ASGIApp:
    """Make its flags those of all questions."""
    web = rooms(request)
    reason = (await read_json(request, CanaryEnd)).reason
    by = principal_of(request.scope).id

    def work() -> CanaryBody:
        web.appliance.canary.promote(by, reason)
        return _body(web.appliance)

    return reply(await web.desk.run(work))


@delete("/admin/canary", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=CanaryBody))
async def stop_canary(request: Request[Any, Any, Any]) -> ASGIApp:
    """Answer all questions as before."""
    web = rooms(request)
    by = principal_of(request.scope).id

    def work() -> CanaryBody:
        web.appliance.canary.stop(by)
        return _body(web.appliance)

    return reply(await web.desk.run(work))


def _body(appliance: Appliance) -> CanaryBody:
    row, sides, next_look = appliance.canary.status()
    if row is None:
        return CanaryBody("none")
    spec = msgspec.json.decode(row.spec, type=Spec)
    figures = {name: SideBody(s.questions, s.failed, s.declined, s.p95_ms) for name, s in sides.items()}
    return CanaryBody(
        *(row.state, row.reason, spec.collection, spec.share, dict(spec.flags), spec.limits),
        *(row.started_at, row.ended_at, row.looks, next_look, FALSE_ALARM, figures),
    )


ROUTES: tuple[HTTPRouteHandler, ...] = (show_canary, start_canary, promote_canary, stop_canary)
