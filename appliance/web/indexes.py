"""/admin/index: the vector indexes; for admins alone. Long work is begun here and followed by asking for the status."""

from typing import Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from appliance.types import Role
from appliance.web.endpoint import endpoint, reply
from appliance.web.rooms import Rooms, rooms


class IndexesBody(msgspec.Struct, frozen=True):
    """The vector index of each collection, as it says of itself."""

    indexes: list[dict[str, Any]]


class IndexBody(msgspec.Struct, frozen=True):
    """The vector index of `collection`; `index` has what serves, what lies on disk, `job` under way and the `last`."""

    collection: str
    index: dict[str, Any]


class BegunBody(msgspec.Struct, frozen=True):
    """The `job` that was begun; `index` is the status at that moment, `status_url` gives it again."""

    collection: str
    job: str
    status_url: str
    index: dict[str, Any]


class CheckedBody(msgspec.Struct, frozen=True):
    """What is wrong, one sentence each; empty when all is well."""

    collection: str
    problems: list[str]


def _status(web: Rooms, collection: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(web.appliance.collections.index(collection).status(), enc_hook=str)
    return found


@get("/admin/index", opt=endpoint(Role.ADMIN, "admin", returns=IndexesBody))
async def list_indexes(request: Request[Any, Any, Any]) -> ASGIApp:
    """How each collection is searched, what lies on disk and what is being done."""
    web = rooms(request)

    def statuses() -> list[dict[str, Any]]:
        return [{"collection": c.name, **_status(web, c.name)} for c in web.appliance.collections.all()]

    return reply(IndexesBody(await web.desk.run(statuses)))


@get("/admin/index/{collection:str}", opt=endpoint(Role.ADMIN, "admin", returns=IndexBody))
async def show_index(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """The vector index of one collection; `index.job` is there while it is being worked on."""
    web = rooms(request)
    return reply(IndexBody(collection, await web.desk.run(lambda: _status(web, collection))))


@post(
    "/admin/index/{collection:str}/verify",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", returns=CheckedBody),
)
async def verify_index(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """Compare the vector index of a collection with the database: seconds, with a million vectors."""
    web = rooms(request)
    problems = await web.upkeep.run(lambda: web.appliance.collections.index(collection).verify())
    return reply(CheckedBody(collection, list(problems)))


@post(
    "/admin/index/{collection:str}/rebuild",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", returns=BegunBody, status=202),
)
async def rebuild_index(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """Make the vector index anew beside the one that serves; it takes over when it finds enough. 409 when busy."""
    return await _begin(request, collection, "rebuild")


@post(
    "/admin/index/{collection:str}/compact",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", returns=BegunBody, status=202),
)
async def compact_index(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """Remove deleted vectors from the index and all its files; no generation to roll back to is left. 409 when busy."""
    return await _begin(request, collection, "compact")


@post(
    "/admin/index/{collection:str}/rollback",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", returns=BegunBody, status=202),
)
async def roll_back_index(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """Let the previous generation serve, brought level with the database. 409 when there is none, or when busy."""
    return await _begin(request, collection, "rollback")


async def _begin(
    request: Request[Any, Any, Any], collection: str, job: Literal["rebuild", "compact", "rollback"]
) -> ASGIApp:
    web = rooms(request)

    def begun() -> BegunBody:
        web.appliance.collections.index(collection).begin(job)
        if job == "rebuild":
            web.appliance.collections.remake_keywords(collection)
        return BegunBody(collection, job, f"/admin/index/{collection}", _status(web, collection))

    return reply(await web.desk.run(begun), 202)


ROUTES: tuple[HTTPRouteHandler, ...] = (
    list_indexes,
    show_index,
    verify_index,
    rebuild_index,
    compact_index,
    roll_back_index,
)
