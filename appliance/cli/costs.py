"""`costs`: what requests took, by day and key."""

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import dim, print_json, print_table


@command("costs", examples=["costs", "costs --days 7 --json"])
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="The last days, with today.")
@click.option("--principal", help="Only this key, by its id (`keys list` shows it).")
def costs(invocation: Invocation, days: int, principal: str | None) -> None:
    """Show tokens, estimated compute and energy, and what cache and compression saved, by day and key."""
    with invocation.connect() as client:
        found = client.get("/costs", days=days, principal=principal)
    if invocation.as_json:
        print_json(found)
        return
    columns = ("day (UTC)", "key", "requests", "cached", "tokens in", "tokens out", "core-seconds", "Wh",
               "saved tokens", "saved Wh")  # fmt: skip
    rows = [(day["day"], day["name"], *_row(day["sums"])) for day in found["days"]]
    if len(rows) > 1:
        rows.append(("all", "", *_row(found["total"])))
    print_table(columns, rows, empty="Nothing was asked in this time.")
    click.echo(dim(f"{found['formula']}; watts_per_core is {found['watts_per_core']:g}."))


def _row(sums: dict[str, float]) -> tuple[object, ...]:
    requests = sum(sums[kind] for kind in ("questions", "searches", "completions", "embeddings"))
    tokens = (sums["prompt_tokens"] + sums["embedded_tokens"], sums["completion_tokens"])
    saved = sums["cache_saved_tokens"] + sums["compression_saved_tokens"]
    spent = (f"{sums['compute_s']:.2f}", f"{sums['watt_hours']:.4f}")
    return (requests, sums["cached"], *tokens, *spent, saved, f"{sums['cache_saved_watt_hours']:.4f}")
