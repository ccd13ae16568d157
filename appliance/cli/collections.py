"""`collections`: named sets of documents that are searched separately."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import on_terminal, print_json, print_table

collections = group("collections", "List and delete collections.")


@command("list", group=collections, examples=["collections list"])
def show(invocation: Invocation) -> None:
    """List the collections with their sizes. Ingesting into a new name makes a collection."""
    with invocation.connect() as client:
        found = client.get("/collections")
    if invocation.as_json:
        print_json(found)
        return
    rows = [(c["name"], c["documents"], c["chunks"], c["embedder"], c["version"]) for c in found["collections"]]
    print_table(("name", "documents", "chunks", "embedder", "version"), rows)


@command("delete", group=collections, examples=["collections delete reports --yes"])
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(invocation: Invocation, name: str, yes: bool) -> None:
    """Delete a collection with all its documents. The files they came from are not touched."""
    if not yes:
        if not on_terminal():
            raise click.UsageError("Deleting a collection asks first; without a terminal, add --yes.")
        click.confirm(f"Delete the collection {name} with all its documents?", abort=True)
    with invocation.connect() as client:
        client.delete(f"/collections/{name}")
    if invocation.as_json:
        print_json({"deleted": name})
    else:
        click.echo(f"Collection {name} is deleted.")
