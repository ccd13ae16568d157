"""`monitoring`: what Prometheus and Grafana need to watch the appliance."""

from pathlib import Path

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json

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
