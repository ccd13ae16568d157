"""/admin/flags: what may be switched while the appliance runs, for all collections or one, and who switched it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.app import Appliance
from appliance.flags import FLAGS, FlagState, flag
from appliance.store.flags import EVERYWHERE, FlagChange
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, read_parameters, reply
from appliance.web.guards import principal_of
from appliance.web.rooms import rooms

Value = bool | int | float | str | None


class FlagParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of one `collection`; without it of all that set nothing of their own."""

    collection: str | None = None


class ChangeParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The newest `limit` entries."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class NewFlag(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What it is to be; `reason` is kept in the record."""

    value: Value
    reason: Annotated[str, Meta(max_length=500)] = ""


class FlagBody(msgspec.Struct, frozen=True):
    """A flag: `value` is the one in force, `source` who says so (collection, everywhere, setting), `takes` what it may
    be; `answers` tells whether answers depend on it.
    """

    name: str
    value: Value
    source: str
    takes: str
    answers: bool
    description: str


class FlagsBody(msgspec.Struct, frozen=True):
    """Every flag."""

    flags: list[FlagBody]


class FlagChangeBody(msgspec.Struct, frozen=True):
    """Who changed what, when (seconds since the epoch) and why; `collection` is empty for all. null: not set."""

    at: float
    principal: str
    action: str
    collection: str
    name: str
    before: Value
    after: Value
    reason: str


class FlagChangesBody(msgspec.Struct, frozen=True):
    """The record, newest first."""

    changes: list[FlagChangeBody]


@get("/admin/flags", opt=endpoint(Role.ADMIN, "admin", parameters=FlagParameters, returns=FlagsBody))
async def list_flags(request: Request[Any, Any, Any]) -> ASGIApp:
    """The flags and their values."""
    appliance = rooms(request).appliance
    return reply(FlagsBody([_body(state) for state in appliance.flags.states(_collection(appliance, request))]))


@get("/admin/flags/changes", opt=endpoint(
    Role.ADMIN, "admin", parameters=ChangeParameters, returns=FlagChangesBody
))  # fmt: skip
async def flag_changes(request: Request[Any, Any, Any]) -> ASGIApp:
    """The record of changes to flags and canaries."""
    web = rooms(request)
    most = read_parameters(request, ChangeParameters).limit
    found = await web.desk.run(lambda: web.appliance.store.flags.changes(most))
    return reply(FlagChangesBody([_change(change) for change in found]))


def _change(change: FlagChange) -> FlagChangeBody:
    before, after = (None if text is None else msgspec.json.decode(text) for text in (change.before, change.after))
    what = (change.at, change.principal, change.action, change.collection, change.name)
    return FlagChangeBody(*what, before, after, change.reason)


@get("/admin/flags/{name:str}", opt=endpoint(Role.ADMIN, "admin", parameters=FlagParameters, returns=FlagBody))
async def show_flag(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """One flag and its value."""
    appliance = rooms(request).appliance
    return reply(_state(appliance, _collection(appliance, request), name))


@put("/admin/flags/{name:str}", status_code=200, opt=endpoint(
    Role.ADMIN, "admin", parameters=FlagParameters, body=(NewFlag,), returns=FlagBody
))  # fmt: skip
async def set_flag(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Switch a flag, for every question that comes after."""
    web = rooms(request)
    where = _collection(web.appliance, request)
    wanted = await read_json(request, NewFlag)
    by = principal_of(request.scope).id
    await web.desk.run(lambda: web.appliance.flags.put(where, {name: wanted.value}, by=by, reason=wanted.reason))
    return reply(_state(web.appliance, where, name))


@delete("/admin/flags/{name:str}", status_code=200, opt=endpoint(
    Role.ADMIN, "admin", parameters=FlagParameters, returns=FlagBody
))  # fmt: skip
async def unset_flag(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Let what counts without it count again: of a collection what is set for all, of all the setting."""
    web = rooms(request)
    where = _collection(web.appliance, request)
    by = principal_of(request.scope).id
    await web.desk.run(lambda: web.appliance.flags.unset(where, name, by=by))
    return reply(_state(web.appliance, where, name))


def _collection(appliance: Appliance, request: Request[Any, Any, Any]) -> str:
    """Raises NotFound for a collection that does not exist."""
    name = read_parameters(request, FlagParameters).collection
    if name is None:
        return EVERYWHERE
    appliance.collections.index(name)
    return name


def _state(appliance: Appliance, collection: str, name: str) -> FlagBody:
    flag(name)
    return next(_body(state) for state in appliance.flags.states(collection) if state.name == name)


def _body(state: FlagState) -> FlagBody:
    about = FLAGS[state.name]
    return FlagBody(state.name, state.value, state.source, about.kind, about.answers, about.description)


ROUTES: tuple[HTTPRouteHandler, ...] = (list_flags, flag_changes, show_flag, set_flag, unset_flag)
