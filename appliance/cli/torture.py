"""`doctor --torture`: how a torture run is shown while it goes, and what it has found."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.output import duration, print_json, print_pairs
from appliance.cli.problem import DONE, FAILED, PARTLY

if TYPE_CHECKING:
    from appliance.torture import Options, Report

LINE_EVERY_S = 10.0
SHOWN_PROBLEMS = 20

Show = Callable[["Report", str], None]


def torture(directory: Path, options: "Options", *, as_json: bool) -> int:
    """Exit code 0 when nothing was lost, 3 when a step was never reached or something was left out, 1 with problems.

    Raises InvalidRequest, StorageError for a directory that cannot be used.
    """
    from appliance.torture import claim
    from appliance.torture import torture as run

    root = claim(directory)
    with _display(options, quiet=as_json) as show:
        report = run(root, options, show)
    found = report.as_json()
    if as_json:
        print_json(found)
    else:
        _print(found, root)
    return FAILED if report.problems else PARTLY if found["unreached"] or found["notes"] else DONE


@contextmanager
def _display(options: "Options", *, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda report, what: None
    elif sys.stderr.isatty():
        with _bar(options.kills) as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar(kills: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("kills"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
        bar = progress.add_task("starting", total=kills)
        yield lambda report, what: progress.update(bar, completed=report.killed, description=_told(report, what))


def _lines() -> Show:
    shown_at = 0.0

    def show(report: "Report", what: str) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= LINE_EVERY_S:
            click.echo(f"{report.killed} kills · {_told(report, what)}", err=True)
            shown_at = time.monotonic()

    return show


def _told(report: "Report", what: str) -> str:
    problems = len(report.problems)
    return f"{report.counts['restarts']} starts · {problems} problem{'s' if problems != 1 else ''} · {what}"


def _print(found: dict[str, Any], root: Path) -> None:
    ready = found["ready_s"]
    by_kind = ", ".join(f"{kind} {count}" for kind, count in found["kills_by_kind"].items())
    print_pairs(
        [
            ("kills", f"{found['kills']} ({by_kind})"),
            ("starts", found["restarts"]),
            ("ready after", f"{ready['median']} s median, {ready['p95']} s p95, {ready['longest']} s longest"),
            *((name, count) for name, count in found["counts"].items() if name not in ("restarts", "problems")),
            ("time", f"{duration(found['seconds'])}, seed {found['seed']}"),
            *((f"at {step}", count) for step, count in found["kills_by_step"].items()),
        ]
    )
    for step in found["unreached"]:
        click.secho(f"never reached: {step}", fg="yellow")
    for note in found["notes"]:
        click.secho(f"note: {note}", fg="yellow")
    for problem in found["problems"][:SHOWN_PROBLEMS]:
        click.secho(f"PROBLEM: {problem}", fg="red")
    if found["problems"]:
        click.echo(f"{found['counts']['problems']} problems; logs, journals and data are kept in {root}.")
    else:
        click.secho("Nothing acknowledged was lost, nothing half is there.", fg="green")
