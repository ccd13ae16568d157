"""/admin/packs: collections written to files and taken from them; for admins alone. The paths are of the host."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.packs import PackJob, new_wish
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.rooms import rooms

HostPath = Annotated[str, Meta(min_length=1, max_length=4096)]


class ExportPack(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Write `collection` to the new file `path`; with `since`, a pack of an earlier state, only what changed."""

    collection: str
    path: HostPath
    since: HostPath | None = None


class ImportPack(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Take the pack at `path` in, as `collection` (by default its own name). `replace`: in place of what is there.
    `reembed`: with vectors of this host's model, made anew.
    """

    path: HostPath
    collection: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    replace: bool = False
    reembed: bool = False


class PackJobBody(msgspec.Struct, frozen=True):
    """An export or import; `done` and `total` are documents or bytes, `result` comes at the end."""

    id: str
    action: str
    path: str
    collection: str
    state: str
    step: str
    done: int
    total: int
    code: str
    error: str
    hint: str
    result: dict[str, Any] | None


class PackJobsBody(msgspec.Struct, frozen=True):
    """Exports and imports, the oldest first; ended ones are forgotten at a restart."""

    jobs: list[PackJobBody]


def _body(job: PackJob) -> PackJobBody:
    wish = job.wish
    told = {name: getattr(job, name) for name in ("state", "step", "done", "total", "code", "error", "hint", "result")}
    return PackJobBody(wish.id, wish.action, wish.path, wish.collection, **told)


@post(
    "/admin/packs/export",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(ExportPack,), returns=PackJobBody, status=202),
)
async def export_pack(request: Request[Any, Any, Any]) -> ASGIApp:
    """Write a collection with its vectors to a file, which `pack export` then signs."""
    web = rooms(request)
    asked = await read_json(request, ExportPack)
    wish = new_wish("export", Path(asked.path), collection=asked.collection, since=asked.since)
    return reply(_body(await web.desk.run(lambda: web.appliance.packs.submit(wish))), 202)


@post(
    "/admin/packs/import",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(ImportPack,), returns=PackJobBody, status=202),
)
async def import_pack(request: Request[Any, Any, Any]) -> ASGIApp:
    """Take a signed pack in, whole or not at all. Durable: it goes on after a crash."""
    web = rooms(request)
    asked = await read_json(request, ImportPack)
    more = {"collection": asked.collection or "", "replace": asked.replace, "reembed": asked.reembed}
    wish = new_wish("import", Path(asked.path), **more)
    return reply(_body(await web.desk.run(lambda: web.appliance.packs.submit(wish))), 202)


@get("/admin/packs", opt=endpoint(Role.ADMIN, "admin", returns=PackJobsBody))
async def list_pack_jobs(request: Request[Any, Any, Any]) -> ASGIApp:
    """Exports and imports, and how far they are."""
    return reply(PackJobsBody([_body(job) for job in rooms(request).appliance.packs.all()]))


@get("/admin/packs/{job_id:str}", opt=endpoint(Role.ADMIN, "admin", returns=PackJobBody))
async def show_pack_job(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIApp:
    """How far an export or import is."""
    return reply(_body(rooms(request).appliance.packs.status(job_id)))


ROUTES: tuple[HTTPRouteHandler, ...] = (export_pack, import_pack, list_pack_jobs, show_pack_job)
