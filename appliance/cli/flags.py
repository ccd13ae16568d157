"""`flags`: what may be switched while the appliance runs."""

import json
import math
from typing import Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_table

flags = group("flags", "Show and switch flags: optional stages and their parameters, for all collections or one.")
COLLECTION = click.option("--collection", help="Only for this collection; without it for all that set nothing else.")


@command("list", group=flags, examples=["flags list", "flags list --collection reports", "flags list --json"])
@COLLECTION
def show_all(invocation: Invocation, collection: str | None) -> None:
    """List every flag, its value, and who says so: the collection, a flag for everywhere, or the setting."""
    with invocation.connect() as client:
        found = client.get("/admin/flags", collection=collection)
    if invocation.as_json:
        print_json(found)
        return
    rows = [(f["name"], shown(f["value"]), f["source"], f["takes"]) for f in found["flags"]]
    print_table(("flag", "value", "from", "takes"), rows)


@command("set", group=flags, examples=["flags set rerank off", "flags set alpha 0.3 --collection reports"])
@click.argument("name")
@click.argument("value")
@COLLECTION
@click.option("--reason", default="", help="Why, for the record.")
def put(invocation: Invocation, name: str, value: str, collection: str | None, reason: str) -> None:
    """Switch a flag, for every question that comes after; nothing restarts."""
    with invocation.connect() as client:
        takes = client.get(f"/admin/flags/{name}", collection=collection)["takes"]
        body = {"value": typed(value, takes), "reason": reason}
        made = client.put(f"/admin/flags/{name}", body, collection=collection)
    _told(invocation, made)


@command("unset", group=flags, examples=["flags unset rerank", "flags unset alpha --collection reports"])
@click.argument("name")
@COLLECTION
def unset(invocation: Invocation, name: str, collection: str | None) -> None:
    """Let what counts without the flag count again."""
    with invocation.connect() as client:
        made = client.delete(f"/admin/flags/{name}", collection=collection)
    _told(invocation, made)


@command("changes", group=flags, examples=["flags changes", "flags changes --limit 10"])
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The newest so many.")
def changes(invocation: Invocation, limit: int) -> None:
    """Show who changed flags and canaries, when and why, newest first."""
    with invocation.connect() as client:
        found = client.get("/admin/flags/changes", limit=limit)
    if invocation.as_json:
        print_json(found)
        return
    rows = [
        (moment(c["at"]), c["principal"], c["action"], c["collection"] or "all", c["name"],
         shown(c["before"]), shown(c["after"]), c["reason"])
        for c in found["changes"]
    ]  # fmt: skip
    print_table(("when", "key", "what", "collection", "flag", "before", "after", "why"), rows)


def typed(value: str, takes: str) -> Any:
    """A value as somebody writes it, as JSON has it: `off` of a flag that is on or off is false."""
    if takes == "on or off":
        return {"on": True, "true": True, "off": False, "false": False}.get(value.lower(), value)
    if "null" in takes and value.lower() in {"null", "none"}:
        return None
    if "number" in takes:
        try:
            number = json.loads(value)
        except ValueError:
            return value
        return value if isinstance(number, float) and not math.isfinite(number) else number
    return value


def shown(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def _told(invocation: Invocation, made: dict[str, Any]) -> None:
    if invocation.as_json:
        print_json(made)
    else:
        click.echo(f"{made['name']} is {shown(made['value']) or 'null'} (from: {made['source']}).")
