"""`index`: the vector indexes, which can always be made again from the database."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table
from appliance.cli.problem import DONE, FAILED

index = group("index", "Look at the vector indexes, rebuild or verify them.")


@command("status", group=index, examples=["index status", "index status --json"])
def status(invocation: Invocation) -> None:
    """How each collection is searched: exactly or through an HNSW index, and how many vectors it has."""
    with invocation.connect() as client:
        found = client.get("/admin/index")
    if invocation.as_json:
        print_json(found)
        return
    rows = [list(item.values()) for item in found["indexes"]]
    print_table(list(found["indexes"][0]) if found["indexes"] else [], rows)


@command("rebuild", group=index, examples=["index rebuild", "index rebuild --collection reports"])
@click.option("--collection", default="default", show_default=True, help="Which collection.")
def rebuild(invocation: Invocation, collection: str) -> None:
    """Make the index of a collection anew from the database. Questions are answered meanwhile."""
    with invocation.connect() as client:
        done = client.post(f"/admin/index/{collection}/rebuild")
    if invocation.as_json:
        print_json(done)
    else:
        click.echo(f"The index of {collection} is rebuilt.")


@command("verify", group=index, examples=["index verify", "index verify --collection reports --json"])
@click.option("--collection", default="default", show_default=True, help="Which collection.")
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
