"""`tasks`: what ingestion is doing, what failed, and trying again."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_pairs, print_table
from appliance.cli.progress import exit_code, follow, print_failed

tasks = group("tasks", "Look at ingestion tasks; cancel or retry them.")


@command("list", group=tasks, examples=["tasks list", "tasks list --limit 5 --json"])
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most this many.")
def show_all(invocation: Invocation, limit: int) -> None:
    """List the newest tasks."""
    with invocation.connect() as client:
        found = client.get("/tasks", limit=limit)
    if invocation.as_json:
        print_json(found)
        return
    columns = ("id", "state", "step", "done", "failed", "collection", "made")
    rows = [
        (t["task_id"], t["state"], t["step"], f"{t['done']}/{t['total']}", t["result"]["failed_count"], t["collection"],
         moment(t["created_at"]))
        for t in found["tasks"]
    ]  # fmt: skip
    print_table(columns, rows, empty="No tasks.")


@command("show", group=tasks, examples=["tasks show 01J9Z…", "tasks show 01J9Z… --follow"])
@click.argument("task_id")
@click.option("--follow", "following", is_flag=True, help="Stay until it is finished.")
def show(invocation: Invocation, task_id: str, following: bool) -> int:
    """One task: its state, its counts, and every document that failed with the reason."""
    with invocation.connect() as client:
        status = client.get(f"/tasks/{task_id}")
        if following:
            status = follow(client, status, quiet=invocation.as_json)
    if invocation.as_json:
        print_json(status)
    else:
        shown = {name: value for name, value in status.items() if not isinstance(value, dict) and value is not None}
        shown.update({name: moment(shown[name]) for name in ("created_at", "finished_at") if name in shown})
        print_pairs(list(shown.items()) + [(n, v) for n, v in status["result"].items() if not isinstance(v, dict)])
        print_failed(status)
    return exit_code([status]) if following else 0


@command("dead", group=tasks, examples=["tasks dead", "tasks dead --json"])
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most this many.")
def dead(invocation: Invocation, limit: int) -> None:
    """List the documents that were given up, with the reason and what to do."""
    with invocation.connect() as client:
        found = client.get("/tasks/dead", limit=limit)
    if invocation.as_json:
        print_json(found)
        return
    rows = [(d["task_id"], d["source"], d["code"], d["message"], d["hint"]) for d in found["documents"]]
    print_table(("task", "source", "code", "what happened", "what to do"), rows, empty="No dead documents.")


@command("retry", group=tasks, examples=["tasks retry 01J9Z…"])
@click.argument("task_id")
@click.option("--no-wait", is_flag=True, help="Return at once instead of waiting for the end.")
def retry(invocation: Invocation, task_id: str, no_wait: bool) -> int:
    """Try the dead documents of a task again."""
    with invocation.connect() as client:
        status = client.post(f"/tasks/{task_id}/retry")
        if not no_wait:
            status = follow(client, status, quiet=invocation.as_json)
    if invocation.as_json:
        print_json(status)
    elif not no_wait:
        print_failed(status)
    return 0 if no_wait else exit_code([status])


@command("cancel", group=tasks, examples=["tasks cancel 01J9Z…"])
@click.argument("task_id")
def cancel(invocation: Invocation, task_id: str) -> None:
    """Cancel a task. Documents it has already taken in stay."""
    with invocation.connect() as client:
        status = client.delete(f"/tasks/{task_id}")
    if invocation.as_json:
        print_json(status)
    else:
        click.echo(f"Task {task_id} is cancelled.")
