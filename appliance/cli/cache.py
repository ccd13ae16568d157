"""`cache`: what is kept of questions, layer by layer."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_pairs, print_table, size

cache = group("cache", "Look at the caches of questions, or empty them.")

LAYERS = {
    "answers": "answers, both layers",
    "memory": "  in memory",
    "disk": "  on disk",
    "retrieval": "search results",
    "embedding": "question vectors",
    "semantic": "similar questions",
}


@command("stats", group=cache, examples=["cache stats", "cache stats --json"])
def stats(invocation: Invocation) -> None:
    """Hits, misses, evictions and size of every layer of the cache. Counts are from the start of the process."""
    with invocation.connect() as client:
        found = client.get("/cache/stats")
    if invocation.as_json:
        print_json(found)
        return
    rows = []
    for layer in found["layers"]:
        asked = layer["hits"] + layer["misses"]
        rate = f"{layer['hits'] / asked:.0%}" if asked else ""
        counts = [str(layer[name]) for name in ("hits", "misses", "evictions", "entries")]
        sizes = f"{size(layer['bytes'])} of {size(layer['bound'])}"
        rows.append((LAYERS.get(layer["layer"], layer["layer"]), rate, *counts, sizes))
    print_table(("cache of", "hit rate", "hits", "misses", "evicted", "entries", "size"), rows)
    if found["errors"]:
        print_pairs([("failures of the disk", found["errors"])])


@command("purge", group=cache, examples=["cache purge --tag document:17", "cache purge --tag collection:reports"])
@click.option("--tag", help="collection:NAME, document:ID, prompt:ID or model:NAME; without it everything goes.")
def purge(invocation: Invocation, tag: str | None) -> None:
    """Forget what is kept of questions, all of it or what stands on one thing. Nothing else changes."""
    _purged(invocation, tag)


@command("clear", group=cache, examples=["cache clear", "cache clear --collection reports"])
@click.option("--collection", help="Only what is kept from this collection.")
def clear(invocation: Invocation, collection: str | None) -> None:
    """Forget cached answers. They are made again when asked for; nothing else changes."""
    _purged(invocation, collection and f"collection:{collection}")


def _purged(invocation: Invocation, tag: str | None) -> None:
    with invocation.connect() as client:
        done = client.delete("/cache", tag=tag)
    if invocation.as_json:
        print_json(done)
    else:
        click.echo(f"{done['removed']} cached answers removed.")
