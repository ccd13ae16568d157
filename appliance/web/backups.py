"""/admin/backups: taking, proving and removing backups while the appliance serves; for admins alone.

Restoring is done by the command line on a data directory that nobody uses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.backup import BackupJob, Backups, Wanted, summary
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, read_parameters, reply
from appliance.web.rooms import rooms

Folder = Annotated[str, Meta(min_length=1, max_length=4096, pattern="^/")]


class FolderParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The `folder` of the backups, an absolute path on the host; by default that of the settings."""

    folder: Folder | None = None


class NewBackup(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`full` shares nothing with earlier backups; `index` and `models` hold these files, too; `keep`: then remove all
    but the newest so many.
    """

    full: bool = False
    index: bool = False
    models: bool = False
    keep: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    folder: Folder | None = None


class VerifyBackup(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The `folder` of the backup; by default that of the settings."""

    folder: Folder | None = None


class PruneBackups(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Remove all but the newest `keep` backups."""

    keep: Annotated[int, Meta(ge=1, le=10_000)]
    folder: Folder | None = None


class BackupJobBody(msgspec.Struct, frozen=True):
    """Taking (`create`) or proving (`verify`) a backup; `done` and `total` are bytes or searches."""

    id: int
    name: str
    state: str
    step: str
    done: int
    total: int
    code: str
    error: str
    hint: str
    result: dict[str, Any] | None


class BackupsBody(msgspec.Struct, frozen=True):
    """Backups, the oldest first, and the last job since the start."""

    folder: str
    backups: list[dict[str, Any]]
    job: BackupJobBody | None


class RemovedBackupsBody(msgspec.Struct, frozen=True):
    """The ids of the backups that are gone, and the bytes that freed."""

    removed: list[str]
    freed_bytes: int


def _folder(given: str | None) -> Path | None:
    return None if given is None else Path(given)


def _body(job: BackupJob) -> BackupJobBody:
    names = BackupJobBody.__struct_fields__
    return BackupJobBody(**{name: getattr(job, name) for name in names})


async def _begun(request: Request[Any, Any, Any], begin: Callable[[Backups], BackupJob]) -> ASGIApp:
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: begin(web.appliance.backups))), 202)


@get("/admin/backups", opt=endpoint(Role.ADMIN, "admin", parameters=FolderParameters, returns=BackupsBody))
async def list_backups(request: Request[Any, Any, Any]) -> ASGIApp:
    """The backups of a folder, and what is being done."""
    web = rooms(request)
    folder = _folder(read_parameters(request, FolderParameters).folder)

    def listed() -> BackupsBody:
        repository, job = web.appliance.backups.repository(folder), web.appliance.backups.job()
        found = [summary(backup) for backup in repository.all()]
        return BackupsBody(str(repository.folder), found, _body(job) if job else None)

    return reply(await web.upkeep.run(listed))


@post(
    "/admin/backups",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(NewBackup,), returns=BackupJobBody, status=202),
)
async def make_backup(request: Request[Any, Any, Any]) -> ASGIApp:
    """Take a backup while questions are answered. 409 while another is at work."""
    asked = await read_json(request, NewBackup)
    wanted = Wanted(asked.full, asked.index, asked.models)
    return await _begun(request, lambda backups: backups.begin_create(wanted, _folder(asked.folder), asked.keep))


@get("/admin/backups/jobs/{job_id:int}", opt=endpoint(Role.ADMIN, "admin", returns=BackupJobBody))
async def show_backup_job(request: Request[Any, Any, Any], job_id: FromPath[int]) -> ASGIApp:
    """How far the last job is, and its result."""
    job = rooms(request).appliance.backups.job(job_id)
    assert job is not None
    return reply(_body(job))


@post(
    "/admin/backups/{backup_id:str}/verify",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(VerifyBackup,), returns=BackupJobBody, status=202),
)
async def verify_backup(request: Request[Any, Any, Any], backup_id: FromPath[str]) -> ASGIApp:
    """Restore a copy, open it, compare its parts and search it; `latest` stands for the newest."""
    folder = _folder((await read_json(request, VerifyBackup)).folder)
    return await _begun(request, lambda backups: backups.begin_verify(backup_id, folder))


@delete(
    "/admin/backups/{backup_id:str}",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", parameters=FolderParameters, returns=RemovedBackupsBody),
)
async def remove_backup(request: Request[Any, Any, Any], backup_id: FromPath[str]) -> ASGIApp:
    """Remove a backup; what others need of it stays."""
    web = rooms(request)
    folder = _folder(read_parameters(request, FolderParameters).folder)
    freed = await web.upkeep.run(lambda: web.appliance.backups.remove([backup_id], folder))
    return reply(RemovedBackupsBody([backup_id], freed))


@post(
    "/admin/backups/prune",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", body=(PruneBackups,), returns=RemovedBackupsBody),
)
async def prune_backups(request: Request[Any, Any, Any]) -> ASGIApp:
    """Remove all but the newest backups."""
    web = rooms(request)
    asked = await read_json(request, PruneBackups)
    gone, freed = await web.upkeep.run(lambda: web.appliance.backups.prune(asked.keep, _folder(asked.folder)))
    return reply(RemovedBackupsBody(gone, freed))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    list_backups,
    make_backup,
    show_backup_job,
    verify_backup,
    remove_backup,
    prune_backups,
)
