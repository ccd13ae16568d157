"""`traces`: where the time of questions and ingestion tasks went."""

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import moment, print_json, print_table
from appliance.cli.waterfall import print_waterfall


class _ListByDefault(click.RichGroup):
    """`traces --slowest` is `traces list --slowest`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"-h", "--help"}
        return super().parse_args(ctx, args if args and (args[0] in own or args[0][0] != "-") else ["list", *args])


traces = _ListByDefault(
    name="traces",
    help="Look at where the time of questions and ingestion tasks went; `list` when nothing else is said.",
)


@command("list", group=traces, examples=["traces list", "traces list --slowest --route /query", "traces list --errors"])
@click.option("--slowest", is_flag=True, help="The slowest of the last hour instead of the newest.")
@click.option("--errors", is_flag=True, help="Those that the appliance failed to answer instead of the newest.")
@click.option("--route", help="Only this route, such as /query, or ingest.")
@click.option("--min-ms", type=click.FloatRange(0), help="Only those that took as many milliseconds or more.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most this many.")
def show_all(
    invocation: Invocation, slowest: bool, errors: bool, route: str | None, min_ms: float | None, limit: int
) -> None:
    """List the newest traces of the running server, or the slowest, or those that failed."""
    if slowest and errors:
        raise click.UsageError("Choose --slowest or --errors, not both.")
    shelf = "slowest" if slowest else "errors" if errors else "newest"
    with invocation.connect() as client:
        found = client.get("/admin/traces", shelf=shelf, route=route, min_ms=min_ms, limit=limit)
    if invocation.as_json:
        print_json(found)
        return
    columns = ("query id", "when", "route", "status", "ms", "longest step", "ms")
    rows = [
        (t["query_id"], moment(t["started_at"]), t["route"], t["code"] or t["status"], f"{t['duration_ms']:.1f}",
         "cache hit" if t["cache_hit"] else t["longest"], f"{t['longest_ms']:.1f}")
        for t in found["traces"]
    ]  # fmt: skip
    print_table(columns, rows, empty="No traces. They are kept in the memory of the running server.")


@command("show", group=traces, examples=["traces show 5f0c2a9d1e8b7c34", "traces show 5f0c2a9d1e8b7c34 --json"])
@click.argument("query_id")
def show(invocation: Invocation, query_id: str) -> None:
    """Every step of one question or ingestion task, as a waterfall. QUERY_ID is in answer, error and log."""
    with invocation.connect() as client:
        found = client.get(f"/admin/traces/{query_id}")
    if invocation.as_json:
        print_json(found)
    else:
        print_waterfall(found)
