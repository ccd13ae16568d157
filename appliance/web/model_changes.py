"""/admin/models/…/use: change the embedding model of a collection, watch it, cancel it, go back."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.reembed import AskedQuestion, ChangeSpec, ChangeStatus
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.rooms import rooms

QUESTIONS_BODY = 8 * 1024**2  # bytes


class UseRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which collection, and what the new model is compared by.

    With fewer than 50 questions that name a `source` or `document`, sentences held out of passages must find them too.
    """

    collection: str = "default"
    questions: list[AskedQuestion] = []
    tolerance: Annotated[float, Meta(description="How much recall@10 and MRR@10 may fall beyond chance.")] = 0.03
    min_overlap: Annotated[float, Meta(description="Least overlap@10 for questions without a known answer.")] = 0.5
    force: bool = False


class CollectionRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which collection."""

    collection: str = "default"


class ChangeBody(msgspec.Struct, frozen=True):
    """A change of model; `done` and `total` count chunks, `truncated` those longer than the model reads.

    `report` compares both models: recall@10, MRR@10 and milliseconds by kind of question.
    """

    change_id: str
    status_url: str
    collection: str
    model: str
    previous_model: str
    state: str
    step: str
    done: int
    total: int
    progress: float
    chunks_per_s: float | None
    eta_s: float | None
    truncated: int
    forced: bool
    rollback: bool
    report: dict[str, Any] | None
    code: str | None
    error: str | None
    hint: str | None
    created_at: float
    finished_at: float | None


class ChangesBody(msgspec.Struct, frozen=True):
    """Changes of model, newest first."""

    changes: list[ChangeBody]


class DiscardedBody(msgspec.Struct, frozen=True):
    """The fingerprint of the model whose vectors were removed; null when there were none."""

    collection: str
    discarded: str | None


def _body(status: ChangeStatus) -> ChangeBody:
    values = asdict(status)
    change_id = values.pop("id")
    return ChangeBody(change_id, f"/admin/models/changes/{change_id}", **values)


@post(
    "/admin/models/{name:str}/use",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(UseRequest,), returns=ChangeBody, status=202),
)
async def use_model(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Embed a collection again with another model, compare the two, and switch when the new one is not worse.

    Questions are answered by the model in use until the switch, which is atomic.
    """
    web = rooms(request)
    asked = await read_json(request, UseRequest, QUESTIONS_BODY)
    spec = ChangeSpec(tuple(asked.questions), asked.tolerance, asked.min_overlap, asked.force)
    status = await web.desk.run(lambda: web.appliance.reembedding.submit(asked.collection, name, spec))
    return reply(_body(status), 202)


@get("/admin/models/changes", opt=endpoint(Role.ADMIN, "admin", returns=ChangesBody))
async def list_changes(request: Request[Any, Any, Any]) -> ASGIApp:
    """The latest changes of model and how they ended."""
    web = rooms(request)
    found = await web.desk.run(web.appliance.reembedding.changes)
    return reply(ChangesBody([_body(status) for status in found]))


@get("/admin/models/changes/{change_id:str}", opt=endpoint(Role.ADMIN, "admin", returns=ChangeBody))
async def show_change(request: Request[Any, Any, Any], change_id: FromPath[str]) -> ASGIApp:
    """State, progress and comparison of one change."""
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: web.appliance.reembedding.status(change_id))))


@delete(
    "/admin/models/changes/{change_id:str}",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", returns=ChangeBody),
)
async def cancel_change(request: Request[Any, Any, Any], change_id: FromPath[str]) -> ASGIApp:
    """End a change that is not finished; what it embedded is kept for the next one to the same model."""
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: web.appliance.reembedding.cancel(change_id))))


@post(
    "/admin/models/rollback",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(CollectionRequest,), returns=ChangeBody, status=202),
)
async def rollback_model(request: Request[Any, Any, Any]) -> ASGIApp:
    """Go back to the model before the last change, whose vectors are kept; only newer documents are embedded."""
    web = rooms(request)
    collection = (await read_json(request, CollectionRequest)).collection
    return reply(_body(await web.desk.run(lambda: web.appliance.reembedding.rollback(collection))), 202)


@post(
    "/admin/models/discard",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", body=(CollectionRequest,), returns=DiscardedBody),
)
async def discard_model(request: Request[Any, Any, Any]) -> ASGIApp:
    """Remove the vectors and the index that do not serve; afterwards there is no rollback."""
    web = rooms(request)
    collection = (await read_json(request, CollectionRequest)).collection
    discarded = await web.upkeep.run(lambda: web.appliance.reembedding.discard(collection))
    return reply(DiscardedBody(collection, discarded))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    use_model,
    list_changes,
    show_change,
    cancel_change,
    rollback_model,
    discard_model,
)
