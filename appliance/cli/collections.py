"""`collections`: named sets of documents that are searched separately."""

from typing import Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import on_terminal, print_json, print_table

collections = group("collections", "List collections, their fields, and delete them.")


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


@command("fields", group=collections, examples=["collections fields default", "collections fields reports --json"])
@click.argument("name")
def fields(invocation: Invocation, name: str) -> None:
    """Show what filters can ask for: the fields of the documents' metadata, their types and values."""
    with invocation.connect() as client:
        found = client.get(f"/collections/{name}/fields")
    if invocation.as_json:
        print_json(found)
        return
    rows = [
        (
            field["name"],
            f"list of {field['of']}" if field["of"] else field["type"],
            field["documents"],
            field["distinct"],
            _values(field),
        )
        for field in found["fields"]
    ]
    empty = "No document has metadata; `ingest --metadata name=value` gives some."
    print_table(("field", "type", "documents", "values", "such as"), rows, empty=empty)


def _values(field: dict[str, Any]) -> str:
    """A range for numbers and dates, frequent values for the rest."""
    if "number" in (field["type"], field["of"]) or "date" in (field["type"], field["of"]):
        ends = [f"{end:.15g}" if isinstance(end, float) else str(end) for end in (field["least"], field["greatest"])]
        return " to ".join(dict.fromkeys(ends))
    return ", ".join(field["examples"])


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
