"""`pack`: a collection with its vectors in one signed file, for machines that only serve."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_table, size
from appliance.cli.problem import DONE, Problem

if TYPE_CHECKING:
    from appliance.cli.client import Client

POLL_S = 0.2
LINE_EVERY_S = 5.0

pack = group("pack", "Write collections with their vectors to signed files, and take them in elsewhere.")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@command(
    "export",
    group=pack,
    examples=[
        "pack export reports reports.pack --key indexer",
        "pack export reports b.pack --since a.pack --key indexer",
    ],
)
@click.argument("collection")
@_file
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True,
              help="Secret key that signs it; `trust keygen` makes one.")  # fmt: skip
@click.option(
    "--since", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Only changes since this pack."
)
def export(invocation: Invocation, collection: str, file: Path, key: Path, since: Path | None) -> int:
    """Write a collection with its vectors to a new file, and sign it."""
    from appliance.packs import seal
    from appliance.trust import read_signing_key

    secret = read_signing_key(key)
    body = {"collection": collection, "path": str(file.absolute()), "since": str(since.absolute()) if since else None}
    with invocation.connect() as client:
        found = _ended(client, client.post("/admin/packs/export", body), quiet=invocation.as_json)
    try:
        signed = seal(file, secret)
    except OSError as error:
        hint = "The server has written it for its own user: sign it as that user or as root."
        raise Problem(f"{file} cannot be signed: {error.strerror}.", code="pack_unwritable", hint=hint) from error
    if invocation.as_json:
        print_json({**found, "file": str(file), "key": signed.key_id})
        return DONE
    what = f"changes since {since.name}: " if since else ""
    click.echo(f"{file}: {what}{found['documents']:,} documents, {found['chunks']:,} chunks, "
               f"{found['removed']:,} removed, {size(found['bytes'])}, signed with key {signed.key_id}.")  # fmt: skip
    return DONE


@command("import", group=pack, examples=["pack import reports.pack", "pack import reports.pack --collection archive"])
@_file
@click.option("--collection", help="Under this name; else the pack's own.")
@click.option("--replace", is_flag=True, help="Take the place of what the collection holds.")
@click.option("--reembed", is_flag=True, help="Make the vectors anew with this host's model.")
@click.option(
    "--no-wait", is_flag=True, help="Return at once; `pack list` shows how far it is. Needs a running server."
)
def take_in(
    invocation: Invocation, file: Path, collection: str | None, replace: bool, reembed: bool, no_wait: bool
) -> int:
    """Take a pack in, whole or not at all. Its key must be trusted here (`trust add`)."""
    body = {"path": str(file.absolute()), "collection": collection, "replace": replace, "reembed": reembed}
    with invocation.connect() as client:
        job = client.post("/admin/packs/import", body)
        if no_wait and client.url is not None:
            print_json(job) if invocation.as_json else click.echo(f"Import {job['id']} has begun.")
            return DONE
        found = _ended(client, job, quiet=invocation.as_json)
    if invocation.as_json:
        print_json(found)
        return DONE
    click.echo(f"{found['collection']}: {found['documents']:,} documents taken in, {found['removed']:,} removed; "
               f"signed by {found['signed_by']}.")  # fmt: skip
    return DONE


@command("verify", group=pack, examples=["pack verify reports.pack", "pack verify reports.pack --key indexer.pub"])
@_file
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Only this public key counts."
)
def verify(invocation: Invocation, file: Path, key: Path | None) -> None:
    """Read a pack through without taking it in: seal, records, counts. Exit code 0 when it is whole."""
    import msgspec

    from appliance.packs import verify_pack
    from appliance.paths import DataPaths
    from appliance.trust import known_keys, read_public_key

    folder = DataPaths(invocation.settings().settings.data_dir).trust
    keys = [read_public_key(key)] if key else [known.key for known in known_keys(folder)]
    report = verify_pack(file, keys)
    told = msgspec.to_builtins(report.manifest)
    if invocation.as_json:
        print_json({**told, "signed_by": report.key.name, "key": report.key.id})
        return
    kind = "changes to the state " + told["base"][:16] if told["base"] else "whole collection"
    click.echo(f"{file} is whole and signed by {report.key.name}: {told['collection']}, {kind}, "
               f"{told['documents']:,} documents, {told['chunks']:,} chunks, {told['removed']:,} removed, "
               f"model {told['embedder_name'] or told['embedder']}, made {moment(told['made_at'])}.")  # fmt: skip


@command("list", group=pack, examples=["pack list", "pack list --json"])
def show(invocation: Invocation) -> None:
    """List the exports and imports that wait or are at work, and those that ended since the start."""
    with invocation.connect() as client:
        jobs = client.get("/admin/packs")["jobs"]
    if invocation.as_json:
        print_json({"jobs": jobs})
        return
    rows = [(j["id"][:8], j["action"], j["collection"], j["path"], j["error"] or _told(j)) for j in jobs]
    print_table(("id", "what", "collection", "file", "state"), rows, empty="No exports or imports.")


def _told(job: dict[str, Any]) -> str:
    return f"{job['step']} {100 * job['done'] // job['total']} %" if job["total"] else str(job["step"])


def _ended(client: "Client", job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The result of a job, followed to its end with a line now and then. Raises Problem when it failed."""
    due = time.monotonic() + LINE_EVERY_S
    while job["state"] in ("PENDING", "PROGRESS"):
        time.sleep(POLL_S)
        job = client.get(f"/admin/packs/{job['id']}")
        if not quiet and time.monotonic() > due:
            click.echo(_told(job), err=True)
            due = time.monotonic() + LINE_EVERY_S
    if job["state"] == "FAILURE":
        raise Problem(job["error"], code=job["code"], hint=job["hint"])
    result: dict[str, Any] = job["result"]
    return result
