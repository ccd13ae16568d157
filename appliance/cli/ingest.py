"""`ingest`: take files and folders in, with progress; and follow a folder."""

import json
import queue
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import print_json
from appliance.cli.problem import INTERRUPTED, Problem, report
from appliance.cli.progress import exit_code, follow, print_failed, summary

if TYPE_CHECKING:
    from appliance.cli.client import Client

BUSY_S = 10.0
EXAMPLES = [
    "ingest ~/documents",
    "ingest /srv/reports --collection reports --sync --metadata department=finance",
    'ingest minutes.docx --metadata held=2024-03-15 --metadata \'tags=["board", "budget"]\'',
    "ingest ~/notes --watch",
    "ingest manual.pdf --no-wait --json",
]


@command("ingest", examples=EXAMPLES)
@click.argument("paths", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True, metavar="PATH...")
@click.option("--collection", help="Collection to take them into (default: default); made when new.")
@click.option("--sync", is_flag=True, help="Also remove documents whose file under PATH is gone.")
@click.option("--watch", is_flag=True, help="Stay, and take in what changes until interrupted.")
@click.option("--metadata", multiple=True, metavar="K=V", help="Metadata for every document; may be given again.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the tasks are safely stored.")
def ingest(
    invocation: Invocation,
    paths: tuple[Path, ...],
    collection: str | None,
    sync: bool,
    watch: bool,
    metadata: tuple[str, ...],
    no_wait: bool,
) -> int:
    """Take documents in. Unchanged files are skipped, changed ones replaced.

    Ingestion survives interruption: what is committed stays, the rest goes on when a server or a command runs again.
    Exit code 3 when some documents could not be read.
    """
    if watch and (no_wait or invocation.as_json):
        raise click.UsageError("--watch stays until interrupted; it goes neither with --no-wait nor with --json.")
    options = {"collection": collection, "sync": sync or None, "metadata": _metadata(metadata) or None}
    bodies = [{"directory": str(path.resolve()), **_given(options)} for path in paths]
    with invocation.connect() as client:
        statuses = [client.post("/ingest", body) for body in bodies]
        if no_wait:
            return _queued(invocation, client, statuses)
        code = _finish(invocation, client, statuses)
        return _watch(client, bodies) if watch else code


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _metadata(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`k=v` pairs; whole numbers, decimals, true, false and JSON lists of texts become what they look like."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise click.BadParameter(f"{pair!r} is not of the form name=value", param_hint="--metadata")
        found[name.strip()] = _value(value.strip())
    return found


def _value(text: str) -> str | int | float | bool | list[str]:
    if text.startswith("[") and text.endswith("]"):
        try:
            return [str(item) for item in json.loads(text)]
        except ValueError as error:
            told = f'{text!r} is not a JSON list, such as ["a", "b"]'
            raise click.BadParameter(told, param_hint="--metadata") from error
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _queued(invocation: Invocation, client: "Client", statuses: list[dict[str, Any]]) -> int:
    if invocation.as_json:
        print_json({"tasks": statuses})
    for status in statuses if not invocation.as_json else ():
        click.echo(f"{status['task_id']}  queued; `rag-appliance tasks show {status['task_id']}` shows it")
    if client.url is None:
        click.echo("No server is running: the tasks go on when one starts, or with the next command.", err=True)
    return 0


def _finish(invocation: Invocation, client: "Client", statuses: list[dict[str, Any]]) -> int:
    """Follow the tasks to their ends and say how they ended."""
    finished: list[dict[str, Any]] = []
    try:
        for status in statuses:
            finished.append(follow(client, client.get(f"/tasks/{status['task_id']}"), quiet=invocation.as_json))
    except KeyboardInterrupt:
        _tell_interrupted(client, statuses)
        return INTERRUPTED
    if invocation.as_json:
        print_json({"tasks": finished})
    for status in finished if not invocation.as_json else ():
        click.echo(summary(status))
        print_failed(status)
    return exit_code(finished)


def _tell_interrupted(client: "Client", statuses: list[dict[str, Any]]) -> None:
    task_id = statuses[-1]["task_id"]
    if client.url is None:
        told = "Interrupted. What is committed stays; the rest goes on with the next command or server on this data."
    else:
        told = "Interrupted; the server goes on with it."
    click.echo(f"{told}\nLook: rag-appliance tasks show {task_id} --follow", err=True)
    click.echo(f"Stop it: rag-appliance tasks cancel {task_id}", err=True)


def _watch(client: "Client", bodies: list[dict[str, Any]]) -> int:
    """Ingest a path again whenever something below it has changed, until interrupted."""
    from appliance.ingest.watch import watch

    changed: queue.Queue[int] = queue.Queue()
    stop = threading.Event()
    for number, body in enumerate(bodies):
        arguments = (Path(body["directory"]), partial(_note, changed, number), stop)
        threading.Thread(target=watch, args=arguments, name=f"watch-{number}", daemon=True).start()
    click.echo("Watching; Ctrl-C ends it.", err=True)
    try:
        while True:
            _again(client, bodies, changed)
    except KeyboardInterrupt:
        click.echo("No longer watching.", err=True)
    finally:
        stop.set()
    return 0


def _note(changed: "queue.Queue[int]", number: int, _count: int) -> None:
    changed.put(number)


def _again(client: "Client", bodies: list[dict[str, Any]], changed: "queue.Queue[int]") -> None:
    """Wait for a change and ingest its path; while the queue of tasks is full, try later."""
    number = changed.get()
    try:
        task = client.post("/ingest", bodies[number])
    except Problem as problem:
        if problem.status != 429:
            raise
        report(problem, as_json=False)
        time.sleep(BUSY_S)
        changed.put(number)
        return
    status = follow(client, client.get(f"/tasks/{task['task_id']}"), quiet=True)
    click.echo(summary(status))
    print_failed(status)
