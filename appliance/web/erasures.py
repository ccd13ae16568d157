"""/documents/erase and /documents/erasures: removing documents to the last byte, and the receipts of it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.erasure.begin import MOST_DOCUMENTS, EraseRequest
from appliance.erasure.eraser import ErasureStatus
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, read_parameters, reply
from appliance.web.rooms import rooms
from appliance.web.tasks import ListParameters


class EraseBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Documents by `ids`, those of a `source` (of one `collection` or all), and with `deleted` what earlier deletions
    and replaced versions have left. `backups` removes the backups in the data directory, which hold them as well.
    """

    ids: Annotated[list[Annotated[int, Meta(ge=1, le=2**63 - 1)]], Meta(max_length=MOST_DOCUMENTS)] = []
    source: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    collection: str | None = None
    deleted: bool = False
    backups: bool = False


class ErasureBody(msgspec.Struct, frozen=True):
    """An erasure. `done` and `total` are bytes of its scan, `waiting` why it does not go on; `receipt` at the end."""

    erasure_id: str
    step: str
    created_at: float
    finished_at: float | None
    done: int
    total: int
    waiting: str | None
    receipt: dict[str, Any] | None


class ErasuresBody(msgspec.Struct, frozen=True):
    """Erasures, newest first."""

    erasures: list[ErasureBody]


def _body(status: ErasureStatus) -> ErasureBody:
    return ErasureBody(
        erasure_id=status.id,
        step=status.step,
        created_at=status.created_at,
        finished_at=status.finished_at,
        done=status.done,
        total=status.total,
        waiting=status.waiting,
        receipt=status.receipt,
    )


@post(
    "/documents/erase",
    status_code=202,
    opt=endpoint(Role.ADMIN, "documents", body=(EraseBody,), returns=ErasureBody, status=202),
)
async def erase_documents(request: Request[Any, Any, Any]) -> ASGIApp:
    """Erase documents: they are gone for every question at once; then every copy of them is removed and the bytes of
    the data directory are scanned. GET /documents/erasures/{id} tells how far it is and gives the receipt.
    """
    web = rooms(request)
    wanted = await read_json(request, EraseBody)
    asked = EraseRequest(tuple(wanted.ids), wanted.source, wanted.collection, wanted.deleted, wanted.backups)
    return reply(_body(await web.desk.run(lambda: web.appliance.eraser.submit(asked))), 202)


@get("/documents/erasures", opt=endpoint(Role.ADMIN, "documents", parameters=ListParameters, returns=ErasuresBody))
async def list_erasures(request: Request[Any, Any, Any]) -> ASGIApp:
    """The latest erasures with their receipts."""
    web = rooms(request)
    limit = read_parameters(request, ListParameters).limit
    found = await web.desk.run(lambda: web.appliance.eraser.list(limit))
    return reply(ErasuresBody([_body(status) for status in found]))


@get("/documents/erasures/{erasure_id:str}", opt=endpoint(Role.ADMIN, "documents", returns=ErasureBody))
async def show_erasure(request: Request[Any, Any, Any], erasure_id: FromPath[str]) -> ASGIApp:
    """How far an erasure is, and its receipt."""
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: web.appliance.eraser.status(erasure_id))))


@post(
    "/documents/erasures/{erasure_id:str}/again",
    status_code=202,
    opt=endpoint(Role.ADMIN, "documents", returns=ErasureBody, status=202),
)
async def erase_again(request: Request[Any, Any, Any], erasure_id: FromPath[str]) -> ASGIApp:
    """Clean and scan once more after an erasure that was not proved."""
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: web.appliance.eraser.again(erasure_id))), 202)


ROUTES: tuple[HTTPRouteHandler, ...] = (erase_documents, list_erasures, show_erasure, erase_again)
