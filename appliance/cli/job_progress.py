"""Following a job on an index: a progress bar on a terminal, a line now and then in a pipe."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from appliance.cli.client import Client

POLL_S = 0.5
LINE_EVERY_S = 5.0

Job = dict[str, Any]


def follow(client: "Client", collection: str, begun: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Show the progress of the job that `begun` (an index's status) is at, until it has ended; the status after that.

    Progress goes to stderr. Raises KeyboardInterrupt; on a server the job itself goes on.
    """
    started_at = begun["job"]["started_at"] if begun["job"] else None
    with _shown(quiet) as show:
        while True:
            found: dict[str, Any] = client.get(f"/admin/index/{collection}")
            job = found["index"]["job"]
            if job is None or job["started_at"] != started_at:
                return found
            show(job)
            time.sleep(POLL_S)


def told(job: Job) -> str:
    """`rebuild: measuring 4,096 of 60,000`."""
    share = f" {job['done']:,} of {job['total']:,}" if job["total"] else ""
    return f"{job['name']}: {job['step']}{share}"


@contextlib.contextmanager
def _shown(quiet: bool) -> Iterator[Callable[[Job], None]]:
    if quiet:
        yield lambda job: None
    elif not sys.stderr.isatty():
        yield _lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
            bar = progress.add_task("waiting", total=None)
            yield lambda job: progress.update(
                bar, total=job["total"] or None, completed=job["done"], description=told(job)
            )


def _lines() -> Callable[[Job], None]:
    due = time.monotonic() + LINE_EVERY_S

    def show(job: Job) -> None:
        nonlocal due
        if time.monotonic() >= due:
            click.echo(told(job), err=True)
            due = time.monotonic() + LINE_EVERY_S

    return show
