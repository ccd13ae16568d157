"""`backup`: taken and proved while the appliance serves, restored where nothing runs."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import duration, moment, print_json, print_table, size
from appliance.cli.problem import DONE, FAILED, Problem

if TYPE_CHECKING:
    from appliance.backup import Repository
    from appliance.cli.client import Client

POLL_S = 0.2
LINE_EVERY_S = 5.0

backup = group("backup", "Take, list, prove, restore and remove backups.")
_from = click.option(
    "--from", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder of the backups; else backup_dir."
)


@command("create", group=backup, examples=["backup create", "backup create --to /mnt/disk/backups --keep 14"])
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Another folder, which exists."
)
@click.option("--incremental/--full", default=True, help="--full shares no block with earlier backups.")
@click.option("--index", is_flag=True, help="Also the vector indexes, so that a large collection is fast at once.")
@click.option("--models", is_flag=True, help="Also the model files that were added.")
@click.option("--keep", type=click.IntRange(1, 10_000), help="Then remove all but the newest so many.")
def create(
    invocation: Invocation, to: Path | None, incremental: bool, index: bool, models: bool, keep: int | None
) -> int:
    """Take a backup while questions are answered. What has not changed since an earlier one is not written again."""
    body = {"full": not incremental, "index": index, "models": models, "keep": keep, "folder": _absolute(to)}
    with invocation.connect() as client:
        job = _follow(client, client.post("/admin/backups", body), quiet=invocation.as_json)
    if invocation.as_json:
        print_json(job)
        return FAILED if job["state"] == "FAILURE" else DONE
    made = _result(job)
    click.echo(f"Backup {made['id']}: {size(made['new_bytes'])} written for {size(made['total_bytes'])}, "
               f"in {duration(made['seconds'])}.")  # fmt: skip
    click.echo(_point_of_loss(made))
    if made["removed"]:
        click.echo(f"Removed: {', '.join(made['removed'])}.")
    return DONE


@command("list", group=backup, examples=["backup list", "backup list --from /mnt/disk/backups --json"])
@_from
def show(invocation: Invocation, folder: Path | None) -> None:
    """List backups, the oldest first. Needs no server and opens no data directory."""
    from appliance.backup import summary

    found = [summary(made) for made in _repository(invocation, folder).all()]
    if invocation.as_json:
        print_json({"backups": found})
        return
    columns = ("backup", "taken", "documents", "written", "restores", "kind", "version")
    rows = [(b["id"], moment(b["taken_at"]), f"{b['documents']:,}", size(b["new_bytes"]), size(b["total_bytes"]),
             "full" if b["full"] else "incremental", b["program"]) for b in found]  # fmt: skip
    print_table(columns, rows, empty="No backups.")


@command("verify", group=backup, examples=["backup verify", "backup verify 20261121-214200-3f9c --from /mnt/disk"])
@click.argument("backup_id", default="latest")
@_from
def verify(invocation: Invocation, backup_id: str, folder: Path | None) -> int:
    """Prove a backup: restore a copy, open it, compare its parts with each other and search it. Exit code 1 when it
    cannot be relied upon. Without an id the newest.
    """
    with invocation.connect() as client:
        begun = client.post(f"/admin/backups/{backup_id}/verify", {"folder": _absolute(folder)})
        job = _follow(client, begun, quiet=invocation.as_json)
    problems = (job["result"] or {}).get("problems") or ([job["error"]] if job["state"] == "FAILURE" else [])
    if invocation.as_json:
        print_json(job)
    elif problems:
        for problem in problems:
            click.echo(problem)
        click.secho("This backup cannot be relied upon.", fg="red", bold=True)
    else:
        found = job["result"]
        click.echo(f"Backup {found['backup_id']} is whole: the copy opened, {found['documents']:,} documents and "
                   f"{found['chunks']:,} chunks agree with keyword index and vectors, {found['searches']} searches "
                   "found what they must.")  # fmt: skip
    return FAILED if problems else DONE


@command("restore", group=backup, examples=["backup restore --from /mnt/disk --data-dir /var/lib/rag-appliance"])
@click.argument("backup_id", default="latest")
@_from
@click.option("--force", is_flag=True, help="Replace what the data directory holds; newer documents are lost.")
def restore(invocation: Invocation, backup_id: str, folder: Path | None, force: bool) -> None:
    """Make the data directory what it was when the backup was taken. Without an id the newest.

    The appliance must not run on it. It is refused unless the directory is new or empty, or --force is given.
    """
    from appliance.backup import restore as put_back
    from appliance.backup import summary

    repository = _repository(invocation, folder)
    made = repository.find(backup_id)
    data_dir = invocation.settings().settings.data_dir
    show = _lines() if not invocation.as_json else lambda done, total: None
    put_back(repository, made, data_dir, force=force, progress=show)
    told = summary(made)
    if invocation.as_json:
        print_json({"restored": told, "data_dir": str(data_dir)})
        return
    click.echo(f"Restored {made.id} to {data_dir}. {_point_of_loss(told)}")
    click.echo("Documents that were deleted or erased since then are back: erase them again.")
    for model in made.models:
        if not model.held:
            click.echo(f"The model {model.name} is not in the backup: add it again (sha256 {model.sha256}).")


@command("remove", group=backup, examples=["backup remove 20261121-214200-3f9c"])
@click.argument("backup_id")
@_from
def remove(invocation: Invocation, backup_id: str, folder: Path | None) -> None:
    """Remove a backup. What other backups need of it stays."""
    with invocation.connect() as client:
        found = client.delete(f"/admin/backups/{backup_id}", folder=_absolute(folder))
    _print_removed(invocation, found)


@command("prune", group=backup, examples=["backup prune --keep 14"])
@click.option("--keep", type=click.IntRange(1, 10_000), required=True, help="How many of the newest stay.")
@_from
def prune(invocation: Invocation, keep: int, folder: Path | None) -> None:
    """Remove all but the newest backups. What these need of the others stays."""
    with invocation.connect() as client:
        found = client.post("/admin/backups/prune", {"keep": keep, "folder": _absolute(folder)})
    _print_removed(invocation, found)


def _print_removed(invocation: Invocation, found: dict[str, Any]) -> None:
    if invocation.as_json:
        print_json(found)
        return
    click.echo(f"Removed: {', '.join(found['removed']) or 'nothing'}; {size(found['freed_bytes'])} freed.")


def _follow(client: "Client", job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Until it has ended; a line on stderr now and then."""
    show = _lines()
    while job["state"] in ("PENDING", "PROGRESS"):
        time.sleep(POLL_S)
        job = client.get(f"/admin/backups/jobs/{job['id']}")
        if not quiet:
            show(job["done"], job["total"], job["step"])
    return job


def _lines() -> Any:
    shown_at = time.monotonic()

    def show(done: int, total: int, step: str = "restoring") -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= LINE_EVERY_S:
            shown_at = time.monotonic()
            click.echo(f"{step}: {100 * done // total} %" if total else step, err=True)

    return show


def _result(job: dict[str, Any]) -> dict[str, Any]:
    """What a job gave. Raises Problem when it failed."""
    if job["state"] == "FAILURE":
        raise Problem(job["error"], code=job["code"], hint=job["hint"])
    result: dict[str, Any] = job["result"]
    return result


def _point_of_loss(made: dict[str, Any]) -> str:
    told = f"It holds {made['documents']:,} documents as of {moment(made['taken_at'])}; the last change before that was"
    told += f" {moment(made['last_commit_at'])}."
    if made["unfinished_tasks"]:
        told += (
            f" {made['unfinished_tasks']} ingestion tasks were unfinished: what they were to read must be sent again."
        )
    return told


def _repository(invocation: Invocation, folder: Path | None) -> "Repository":
    from appliance.backup import Repository
    from appliance.paths import DataPaths

    settings = invocation.settings().settings
    return Repository(folder or settings.backup_dir or DataPaths(settings.data_dir).backups)


def _absolute(folder: Path | None) -> str | None:
    return str(folder.absolute()) if folder else None
