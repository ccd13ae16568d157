"""`documents`: what is stored, its text, and its removal."""

from typing import Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_pairs, print_table
from appliance.cli.problem import DONE, PARTLY, Problem, report

SHOWN = 100
PAGE = 1000  # the most one request lists

documents = group("documents", "List, show and delete stored documents.")


@command("list", group=documents, examples=["documents list", "documents list --collection reports --limit 1000"])
@click.option("--collection", help="Only the documents of this collection.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=SHOWN, show_default=True, help="At most this many.")
@click.option("--after", type=int, default=0, help="Only ids above this one: the next page.")
def show_all(invocation: Invocation, collection: str | None, limit: int, after: int) -> None:
    """List documents in the order of their ids."""
    found: list[dict[str, Any]] = []
    with invocation.connect() as client:
        while len(found) < limit:
            asked = min(PAGE, limit - len(found))
            page = client.get("/documents", collection=collection, limit=asked, after=after)["documents"]
            found += page
            if len(page) < asked:
                break
            after = page[-1]["id"]
    if invocation.as_json:
        print_json({"documents": found})
        return
    rows = [(d["id"], d["collection"], d["source"], d["title"], d["chunks"], moment(d["added_at"])) for d in found]
    print_table(("id", "collection", "source", "title", "chunks", "added"), rows, empty="No documents.")
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1]['id']} shows the next.", err=True)


@command("show", group=documents, examples=["documents show 12"])
@click.argument("document_id", type=int)
def show(invocation: Invocation, document_id: int) -> None:
    """Everything known about one document but its text."""
    with invocation.connect() as client:
        document = client.get(f"/documents/{document_id}")
    if invocation.as_json:
        print_json(document)
        return
    metadata = document.pop("metadata", None) or {}
    document["added_at"] = moment(document.get("added_at"))
    print_pairs([*document.items(), *((f"metadata.{name}", value) for name, value in sorted(metadata.items()))])


@command("text", group=documents, examples=["documents text 12", "documents text 12 > notes.txt"])
@click.argument("document_id", type=int)
def text(invocation: Invocation, document_id: int) -> None:
    """Print the canonical text: the one that citations count their characters in."""
    with invocation.connect() as client:
        found = client.get(f"/documents/{document_id}/text")
    if invocation.as_json:
        print_json(found)
    else:
        click.echo(found["text"])


@command("delete", group=documents, examples=["documents delete 12", "documents delete 12 13 14 --json"])
@click.argument("document_ids", type=int, nargs=-1, required=True, metavar="ID...")
def delete(invocation: Invocation, document_ids: tuple[int, ...]) -> int:
    """Delete documents by id. They are gone from search and answers at once; the files on disk are not touched."""
    deleted: list[int] = []
    missing: list[int] = []
    with invocation.connect() as client:
        for document_id in document_ids:
            try:
                client.delete(f"/documents/{document_id}")
                deleted.append(document_id)
            except Problem as problem:
                if problem.status != 404:
                    raise
                missing.append(document_id)
                if len(document_ids) == 1:
                    raise
                report(problem, as_json=False)
    if invocation.as_json:
        print_json({"deleted": deleted, "missing": missing})
    else:
        click.echo(f"{len(deleted)} deleted" + (f", {len(missing)} not found" if missing else "") + ".")
    return PARTLY if missing else DONE
