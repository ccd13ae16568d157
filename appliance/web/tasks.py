"""/tasks: how ingestion goes, what failed and why, cancel and retry."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.ingest.spec import TaskStatus
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_parameters, reply
from appliance.web.rooms import rooms


class ListParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many entries to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class FailedBody(msgspec.Struct, frozen=True):
    """Why a document failed; `dead` ones are not tried again by themselves."""

    code: str
    message: str
    hint: str
    attempts: int
    dead: bool


class ResultBody(msgspec.Struct, frozen=True):
    """What a task has done so far. `failed` holds the first 100 by source, `failed_count` says how many there are."""

    documents_processed: int
    chunks_created: int
    documents_skipped: int
    documents_removed: int
    failed: dict[str, FailedBody]
    failed_count: int


class TaskBody(msgspec.Struct, frozen=True):
    """A task. `progress` 0 to 1; times in seconds (since the epoch for `…_at`); `total` and `done` count files."""

    task_id: str
    state: str
    step: str
    progress: float
    collection: str
    created_at: float
    finished_at: float | None
    total: int
    done: int
    rate_per_s: float | None
    chunks_per_s: float | None
    eta_s: float | None
    error: str | None
    result: ResultBody


class TasksBody(msgspec.Struct, frozen=True):
    """Tasks, newest first."""

    tasks: list[TaskBody]


class DeadBody(msgspec.Struct, frozen=True):
    """A document that was given up."""

    task_id: str
    collection: str
    source: str
    code: str
    message: str
    hint: str
    attempts: int


class DeadDocumentsBody(msgspec.Struct, frozen=True):
    """Documents that were given up; POST /tasks/{id}/retry tries those of a task again."""

    documents: list[DeadBody]


def task_body(task: TaskStatus) -> TaskBody:
    failed = {
        source: FailedBody(item.code, item.message, item.hint, item.attempts, item.dead)
        for source, item in task.failed.items()
    }
    result = ResultBody(
        documents_processed=task.documents_processed,
        chunks_created=task.chunks_created,
        documents_skipped=task.documents_skipped,
        documents_removed=task.documents_removed,
        failed=failed,
        failed_count=task.failed_count,
    )
    return TaskBody(
        task_id=task.id,
        state=task.state.value,
        step=task.step,
        progress=task.progress,
        collection=task.collection,
        created_at=task.created_at,
        finished_at=task.finished_at,
        total=task.total,
        done=task.done,
        rate_per_s=task.rate_per_s,
        chunks_per_s=task.chunks_per_s,
        eta_s=task.eta_s,
        error=task.error,
        result=result,
    )


@get("/tasks", opt=endpoint(Role.READER, "ingestion", parameters=ListParameters, returns=TasksBody))
async def list_tasks(request: Request[Any, Any, Any]) -> ASGIApp:
    """The latest ingestion tasks."""
    web = rooms(request)
    limit = read_parameters(request, ListParameters).limit
    found = await web.desk.run(lambda: web.appliance.ingestion.tasks(limit))
    return reply(TasksBody([task_body(task) for task in found]))


@get("/tasks/dead", opt=endpoint(Role.READER, "ingestion", parameters=ListParameters, returns=DeadDocumentsBody))
async def list_dead(request: Request[Any, Any, Any]) -> ASGIApp:
    """Documents that were given up, with the reason of each."""
    web = rooms(request)
    limit = read_parameters(request, ListParameters).limit
    found = await web.desk.run(lambda: web.appliance.ingestion.dead(limit))
    body = [DeadBody(d.task_id, d.collection, d.source, d.code, d.message, d.hint, d.attempts) for d in found]
    return reply(DeadDocumentsBody(body))


@get("/tasks/{task_id:str}", opt=endpoint(Role.READER, "ingestion", returns=TaskBody))
async def show_task(request: Request[Any, Any, Any], task_id: FromPath[str]) -> ASGIApp:
    """State, progress and results of one task."""
    web = rooms(request)
    return reply(task_body(await web.desk.run(lambda: web.appliance.ingestion.status(task_id))))


@delete("/tasks/{task_id:str}", status_code=200, opt=endpoint(Role.EDITOR, "ingestion", returns=TaskBody))
async def cancel_task(request: Request[Any, Any, Any], task_id: FromPath[str]) -> ASGIApp:
    """Stop a task; documents it has finished stay."""
    web = rooms(request)
    return reply(task_body(await web.desk.run(lambda: web.appliance.ingestion.cancel(task_id))))


@post(
    "/tasks/{task_id:str}/retry",
    status_code=202,
    opt=endpoint(Role.EDITOR, "ingestion", returns=TaskBody, status=202),
)
async def retry_task(request: Request[Any, Any, Any], task_id: FromPath[str]) -> ASGIApp:
    """Try the given-up documents of a task again."""
    web = rooms(request)
    return reply(task_body(await web.desk.run(lambda: web.appliance.ingestion.retry(task_id))), 202)
