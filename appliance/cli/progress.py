"""Following a task: a progress bar on a terminal, plain lines in a pipe, and how it ended."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.output import duration
from appliance.cli.problem import DONE, FAILED, PARTLY

if TYPE_CHECKING:
    from appliance.cli.client import Client

POLL_S = 0.2
LINE_EVERY_S = 5.0
SHOWN_FAILURES = 20
FINISHED = {"SUCCESS", "FAILURE"}

Show = Callable[[dict[str, Any]], None]
Told = Callable[[dict[str, Any]], str]


def follow(
    client: "Client", status: dict[str, Any], *, quiet: bool = False, path: str = "", told: Told | None = None
) -> dict[str, Any]:
    """Show the progress of a task until it is finished; returns its last status. `quiet` shows nothing.

    `path` is where its status is asked for (default: that of an ingestion task), `told` says how far it is. Progress
    goes to stderr. Raises KeyboardInterrupt; the task itself goes on.
    """
    path = path or f"/tasks/{status['task_id']}"
    with _display(quiet, told or _told) as show:
        while True:
            show(status)
            if status["state"] in FINISHED:
                return status
            time.sleep(POLL_S)
            status = client.get(path)


@contextlib.contextmanager
def _display(quiet: bool, told: Told) -> Iterator[Show]:
    if quiet:
        yield lambda status: None
    elif sys.stderr.isatty():
        with _bar(told) as show:
            yield show
    else:
        yield _lines(told)


@contextlib.contextmanager
def _bar(told: Told) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(bar_width=32), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
        bar = progress.add_task("waiting", total=None, told="")

        def show(status: dict[str, Any]) -> None:
            total = status.get("total") or None
            step = status.get("step") or status["state"].lower()
            done = status["state"] in FINISHED
            total, completed = (total or 1, total or 1) if done else (total, status["done"])
            progress.update(bar, total=total, completed=completed, description=step, told=told(status))

        yield show


def _lines(told: Told) -> Show:
    shown_at, shown = 0.0, ""

    def show(status: dict[str, Any]) -> None:
        nonlocal shown_at, shown
        line = f"{status.get('step') or status['state'].lower()}: {told(status)}"
        due = time.monotonic() - shown_at >= LINE_EVERY_S or status["state"] in FINISHED
        if due and status["total"] and line != shown:
            click.echo(line, err=True)
            shown_at, shown = time.monotonic(), line

    return show


def _told(status: dict[str, Any]) -> str:
    parts = [f"{status['done']}/{status['total']} documents"]
    if status["result"]["failed_count"]:
        parts.append(f"{status['result']['failed_count']} failed")
    if status.get("rate_per_s"):
        parts.append(f"{status['rate_per_s']:.1f}/s")
    if status.get("chunks_per_s") and status["state"] not in FINISHED:
        parts.append(f"{status['chunks_per_s']:.0f} chunks/s")
    if status.get("eta_s") is not None and status["state"] not in FINISHED:
        parts.append(f"{duration(status['eta_s'])} left")
    return " · ".join(parts)


def summary(status: dict[str, Any]) -> str:
    """How a finished task ended, in one line."""
    result = status["result"]
    counts = [
        f"{result['documents_processed']} ingested ({result['chunks_created']} chunks)",
        f"{result['documents_skipped']} unchanged",
        f"{result['documents_removed']} removed" if result["documents_removed"] else "",
        f"{status['result']['failed_count']} failed" if status["result"]["failed_count"] else "",
    ]
    return ", ".join(count for count in counts if count)


def print_failed(status: dict[str, Any]) -> None:
    """Every failed document with its cause and what to do, on stderr; the first twenty."""
    failed: dict[str, dict[str, Any]] = status["result"]["failed"]
    for source, item in list(failed.items())[:SHOWN_FAILURES]:
        click.secho(f"failed: {source}: {item['message']} ({item['code']})", fg="red", err=True)
        if item.get("hint"):
            click.echo(f"        {item['hint']}", err=True)
    more = status["result"]["failed_count"] - min(len(failed), SHOWN_FAILURES)
    if more > 0:
        click.echo(f"… and {more} more: rag-appliance tasks show {status['task_id']} --json", err=True)
    if status.get("error"):
        click.secho(f"error: {status['error']}", fg="red", err=True)


def exit_code(statuses: list[dict[str, Any]]) -> int:
    """0 when every document of every task went in, 3 when some failed, 1 when nothing could be done."""
    if statuses and all(status["state"] == "FAILURE" or _all_failed(status) for status in statuses):
        return FAILED
    troubled = any(status["state"] == "FAILURE" or status["result"]["failed_count"] for status in statuses)
    return PARTLY if troubled else DONE


def _all_failed(status: dict[str, Any]) -> bool:
    result = status["result"]
    went_in = result["documents_processed"] + result["documents_skipped"] + result["documents_removed"]
    return bool(status["result"]["failed_count"]) and not went_in
