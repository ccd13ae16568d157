"""`canary`: a share of the questions under other flags, how it does, and its end."""

from typing import Any

import rich_click as click

from appliance.cli.flags import shown, typed
from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_pairs, print_table

canary = group("canary", "Try other flags on a share of the questions; what does worse is rolled back by itself.")


@command("start", group=canary, examples=["canary start --share 0.1 --set alpha=0.3 --set rerank=off"])
@click.option("--share", type=click.FloatRange(0, 0.5, min_open=True), required=True, help="Of the questions, to .5.")
@click.option("--set", "values", multiple=True, required=True, help="FLAG=VALUE; may be given again.")
@click.option("--collection", help="Only questions to this collection.")
@click.option("--slower", type=click.FloatRange(0, 100), help="How much slower its 95th percentile may be; .25.")
@click.option("--declines", type=click.FloatRange(0, 1), help="How much larger its share of refusals may be; .05.")
@click.option("--error-rate", type=click.FloatRange(0, 1), help="Share of its questions that may fail; .01.")
@click.option("--questions", type=click.IntRange(30, 10_000), help="Questions of each side before anything; 50.")
def start(invocation: Invocation, share: float, values: tuple[str, ...], collection: str | None, **limits: Any) -> None:
    """Answer a share of the questions under other flags; the same caller's same question stays on its side."""
    given = [value.partition("=") for value in values]
    if wrong := [name for name, equals, _ in given if not equals]:
        raise click.UsageError(f"--set takes FLAG=VALUE, not {wrong[0]!r}.")
    with invocation.connect() as client:
        flags = {name: typed(value, client.get(f"/admin/flags/{name}")["takes"]) for name, _, value in given}
        body: dict[str, Any] = {"share": share, "flags": flags, "collection": collection}
        body["limits"] = {name: value for name, value in limits.items() if value is not None}
        made = client.post("/admin/canary", body)
    _told(invocation, made)


@command("status", group=canary, examples=["canary status", "canary status --json"])
def status(invocation: Invocation) -> None:
    """Show the canary, or the last one, and what was seen of both sides."""
    with invocation.connect() as client:
        _told(invocation, client.get("/admin/canary"))


@command("promote", group=canary, examples=["canary promote", "canary promote --reason 'faster, no fewer answers'"])
@click.option("--reason", default="", help="Why, for the record.")
def promote(invocation: Invocation, reason: str) -> None:
    """Make the canary's flags those of all questions."""
    with invocation.connect() as client:
        _told(invocation, client.post("/admin/canary/promote", {"reason": reason}))


@command("stop", group=canary, examples=["canary stop"])
def stop(invocation: Invocation) -> None:
    """Answer all questions as before the canary."""
    with invocation.connect() as client:
        _told(invocation, client.delete("/admin/canary"))


def _told(invocation: Invocation, found: dict[str, Any]) -> None:
    if invocation.as_json:
        print_json(found)
        return
    if found["state"] == "none":
        click.echo("There has been no canary.")
        return
    flags = ", ".join(f"{name} {shown(value)}" for name, value in found["flags"].items())
    where = f"collection {found['collection']}" if found["collection"] else "all collections"
    print_pairs(
        [
            ("state", found["state"].replace("_", " ")),
            *([("why", found["reason"])] if found["reason"] else []),
            ("flags", flags),
            ("questions", f"{found['share']:.0%} of those to {where}"),
            ("started", moment(found["started_at"])),
            *([("ended", moment(found["ended_at"]))] if found["ended_at"] else []),
        ]
    )
    if found["sides"]:
        rows = [
            (name, s["questions"], s["failed"], s["declined"], f"{s['p95_ms']:.1f} ms")
            for name, s in found["sides"].items()
        ]
        print_table(("side", "questions", "failed", "declined", "p95"), rows)
        click.echo(f"Compared {found['looks']} times; next at {found['next_look']} questions of the canary.")
