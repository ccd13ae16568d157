"""`index`: the vector indexes, which can always be made again from the database."""

from collections.abc import Callable
from typing import Any

import rich_click as click

from appliance.cli import job_progress
from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import duration, moment, print_json, print_table, size
from appliance.cli.problem import DONE, FAILED

index = group("index", "Look at the vector indexes; rebuild, verify, compact them or roll back.")
_collection = click.option("--collection", default="default", show_default=True, help="Which collection.")
_no_wait = click.option(
    "--no-wait", is_flag=True, help="Return at once; `index status` shows how far it is. Needs a running server."
)


@command("status", group=index, examples=["index status", "index status --json"])
def status(invocation: Invocation) -> None:
    """How each collection is searched, what lies on disk to roll back to, and what is being done."""
    with invocation.connect() as client:
        found = client.get("/admin/index")
    if invocation.as_json:
        print_json(found)
        return
    columns = ("collection", "kind", "vectors", "removed", "recall", "ef", "generation", "now")
    rows = [
        (i["collection"], i["kind"], i["vectors"], f"{i['removed']} ({i['dead_share']:.0%})", i["recall"], i["ef"],
         i["generation"], job_progress.told(i["job"]) if i["job"] else "") for i in found["indexes"]
    ]  # fmt: skip
    print_table(columns, rows)
    generations = [(i["collection"], g) for i in found["indexes"] for g in i["generations"]]
    if generations:
        click.echo()
        _print_generations(generations)
    for item in found["indexes"]:
        if item["last"] and item["last"]["state"] == "failed":
            click.echo(f"\n{item['collection']}: the last {item['last']['name']} failed: {item['last']['error']}")
            click.echo(f"hint: {item['last']['hint']}")


def _print_generations(generations: list[tuple[str, dict[str, Any]]]) -> None:
    columns = ("collection", "generation", "", "size", "vectors", "removed", "recall", "built", "because", "written")
    rows = [
        (name, g["number"], "current" if g["current"] else "previous", size(g["bytes"]), g["vectors"], g["removed"],
         g["recall"], moment(g["built_at"]), g["reason"], moment(g["created_at"])) for name, g in generations
    ]  # fmt: skip
    print_table(columns, rows)


@command("verify", group=index, examples=["index verify", "index verify --collection reports --json"])
@_collection
def verify(invocation: Invocation, collection: str) -> int:
    """Compare the index with the database. Exit code 1 when they differ."""
    with invocation.connect() as client:
        found = client.post(f"/admin/index/{collection}/verify")
    if invocation.as_json:
        print_json(found)
    else:
        for problem in found["problems"]:
            click.echo(problem)
        click.echo(f"{collection}: {len(found['problems']) or 'no'} problems found.")
    return FAILED if found["problems"] else DONE


@command("rebuild", group=index, examples=["index rebuild", "index rebuild --collection reports --no-wait"])
@_collection
@_no_wait
def rebuild(invocation: Invocation, collection: str, no_wait: bool) -> int:
    """Make the index of a collection anew from the database. Questions are answered meanwhile.

    The new index takes over when it finds at least 95 % of the nearest passages; the one before is kept to roll back.
    """
    return _do(invocation, collection, "rebuild", no_wait, lambda last: "rebuilt")


@command("compact", group=index, examples=["index compact", "index compact --collection reports"])
@_collection
@_no_wait
def compact(invocation: Invocation, collection: str, no_wait: bool) -> int:
    """Remove deleted vectors from the index and from all its files. There is nothing to roll back to afterwards."""

    def told(last: dict[str, Any]) -> str:
        before, after = (last["detail"].get(name, 0) for name in ("bytes_before", "bytes_after"))
        return f"compacted, {size(before)} on disk before and {size(after)} now"

    return _do(invocation, collection, "compact", no_wait, told)


@command("rollback", group=index, examples=["index rollback", "index rollback --collection reports"])
@_collection
@_no_wait
def rollback(invocation: Invocation, collection: str, no_wait: bool) -> int:
    """Let the previous generation of the index serve. A second rollback goes forward again.

    No document is lost or comes back: what was added and deleted since is brought into it.
    """
    return _do(invocation, collection, "rollback", no_wait, lambda last: "rolled back")


def _do(invocation: Invocation, collection: str, job: str, no_wait: bool, told: Callable[[dict[str, Any]], str]) -> int:
    """Begin a job on an index and follow it to its end. Exit code 1 when it fails."""
    with invocation.connect() as client:
        found = client.post(f"/admin/index/{collection}/{job}")
        waits = not no_wait or client.url is None  # without a server this process does the work
        if waits:
            found = job_progress.follow(client, collection, found["index"], quiet=invocation.as_json)
    last = found["index"]["last"]
    failed = waits and last["state"] != "done"
    if invocation.as_json:
        print_json(found)
    elif not waits:
        click.echo(f"The {job} of {collection} has begun.")
    elif failed:
        click.echo(f"The {job} of {collection} {last['state']}: {last['error']}", err=True)
        if last["hint"]:
            click.echo(f"hint: {last['hint']}", err=True)
    else:
        seconds = duration(last["finished_at"] - last["started_at"])
        click.echo(f"The index of {collection} is {told(last)} ({found['index']['vectors']:,} vectors, {seconds}).")
    return FAILED if failed else DONE
