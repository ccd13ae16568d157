"""`cache`: the answers kept on disk."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_pairs, size

cache = group("cache", "Look at the answer cache, or empty it.")


@command("stats", group=cache, examples=["cache stats", "cache stats --json"])
def stats(invocation: Invocation) -> None:
    """Hits, misses, entries and size of the answer cache. Hits and misses count from the start of the process."""
    with invocation.connect() as client:
        found = client.get("/cache/stats")
    if invocation.as_json:
        print_json(found)
        return
    asked = found["hits"] + found["misses"]
    rate = f"{found['hits'] / asked:.0%}" if asked else "nothing asked yet"
    counts = [(name, found[name]) for name in ("hits", "misses", "entries", "errors")]
    print_pairs([*counts, ("hit rate", rate), ("size", size(found["bytes"]))])


@command("clear", group=cache, examples=["cache clear", "cache clear --collection reports"])
@click.option("--collection", help="Only the answers from this collection.")
def clear(invocation: Invocation, collection: str | None) -> None:
    """Forget cached answers. They are made again when asked for; nothing else changes."""
    with invocation.connect() as client:
        done = client.delete("/cache", tag=collection)
    if invocation.as_json:
        print_json(done)
    else:
        click.echo(f"{done['removed']} cached answers removed.")
