"""`monitoring`: what Prometheus and Grafana need to watch the appliance."""

import time
from contextlib import closing
from pathlib import Path

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table
from appliance.cli.problem import DONE, PARTLY, Problem

monitoring = group("monitoring", "Alert rules and dashboards for Prometheus and Grafana.")


@command(
    "export",
    group=monitoring,
    examples=["monitoring export /etc/prometheus/rag-appliance", "monitoring export rules --force"],
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Replace files of an earlier export that were changed since.")
def export(invocation: Invocation, folder: Path, force: bool) -> None:
    """Write alert rules, recording rules, dashboards and a sample configuration to a folder. Needs no server."""
    from appliance.monitoring import export as write

    settings = invocation.settings().settings
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host
    shown = f"[{host}]" if ":" in host else host
    paths = write(folder.absolute(), target=f"{shown}:{settings.port}", force=force)
    if invocation.as_json:
        print_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        click.echo(path)
    click.echo(f"{len(paths)} files written. {folder.absolute() / 'README.md'} says what to do with them.")


@command(
    "show", group=monitoring, examples=["monitoring show", "monitoring show --seconds 30", "monitoring show --json"]
)
@click.option("--seconds", type=click.FloatRange(0, 3600), default=5.0, show_default=True,
              help="Watch for so long; 0 tells of everything since the start.")  # fmt: skip
def show(invocation: Invocation, seconds: float) -> int:
    """Traffic, latency, errors, cache, memory, disk and queues on one screen, and which alerts' bounds are crossed.

    Needs no Prometheus. Exit code 3 when a bound is crossed, 1 without a server.
    """
    from appliance.cli.client import running_server
    from appliance.monitoring.summary import Page, summary
    from appliance.paths import DataPaths

    data = invocation.settings().settings.data_dir
    client = running_server(DataPaths(data))
    if client is None:
        hint = "Start it, or name the data directory of the one that runs with --data-dir."
        raise Problem(f"No server answers on {data}.", code="no_server", status=503, hint=hint)
    with closing(client):
        before = Page(client.text("/metrics") if seconds else "")
        time.sleep(seconds)
        lines = summary(before, Page(client.text("/metrics")), seconds)
    crossed = sorted({line.alert for line in lines if line.alert})
    if invocation.as_json:
        figures = [{"name": line.name, "value": line.shown, "alert": line.alert or None} for line in lines]
        print_json({"seconds": seconds, "figures": figures, "alerts": crossed})
    else:
        print_table(("figure", "value", "bound crossed"), [(line.name, line.shown, line.alert) for line in lines])
    return PARTLY if crossed else DONE
