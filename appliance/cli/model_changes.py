"""`models use`, `changes`, `cancel`, `rollback`, `discard`: the embedding model of a collection."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.models import models
from appliance.cli.output import duration, moment, print_json, print_pairs, print_table
from appliance.cli.problem import DONE, FAILED
from appliance.cli.progress import follow
from appliance.cli.questions import read_questions

if TYPE_CHECKING:
    from appliance.cli.client import Client

__all__ = ["models"]  # with the commands below

COLLECTION = click.option("--collection", default="default", show_default=True, help="Which collection.")
NO_WAIT = click.option("--no-wait", is_flag=True, help="Return at once instead of waiting for the end.")


@command("use", group=models, examples=[
    "models use minilm-l6-v2.fp32",
    "models use e5 --collection reports --questions our-questions.jsonl",
    "models use smollm2-135m-instruct.q8_0",
])  # fmt: skip
@click.argument("name")
@COLLECTION
@click.option("--questions", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Your own questions: plain, or JSON lines with `question` and `source` or `document`.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.03, show_default=True,
              help="How much recall@10 and MRR@10 may fall beyond chance.")  # fmt: skip
@click.option("--min-overlap", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Least share of the first ten hits in common, for questions without a known answer.")  # fmt: skip
@click.option("--force", is_flag=True, help="Switch whatever the comparison says; it is made and kept all the same.")
@NO_WAIT
def use(
    invocation: Invocation,
    name: str,
    collection: str,
    questions: Path | None,
    tolerance: float,
    min_overlap: float,
    force: bool,
    no_wait: bool,
) -> int:
    """Change the embedding model of a collection: embed it again, compare both models, switch or refuse.

    Questions are answered by the old model meanwhile. It goes on after a restart, and `models rollback` goes back.
    Of a generator or reranker it says which setting puts it to use.
    """
    body = {
        "collection": collection,
        "questions": read_questions(questions) if questions else [],
        "tolerance": tolerance,
        "min_overlap": min_overlap,
        "force": force,
    }
    with invocation.connect() as client:
        kinds = {model["name"]: model["kind"] for model in client.get("/admin/models")["models"]}
        if kinds.get(name, "embedder") != "embedder":
            return _setting(name, kinds[name], as_json=invocation.as_json)
        return _follow(invocation, client, client.post(f"/admin/models/{name}/use", body), no_wait=no_wait)


@command("rollback", group=models, examples=["models rollback", "models rollback --collection reports"])
@COLLECTION
@NO_WAIT
def rollback(invocation: Invocation, collection: str, no_wait: bool) -> int:
    """Go back to the embedding model before the last change. Its vectors are kept, so this takes seconds."""
    with invocation.connect() as client:
        return _follow(
            invocation, client, client.post("/admin/models/rollback", {"collection": collection}), no_wait=no_wait
        )


@command("discard", group=models, examples=["models discard", "models discard --collection reports"])
@COLLECTION
def discard(invocation: Invocation, collection: str) -> None:
    """Remove the vectors that do not serve: of the model before, or of a change that was refused or cancelled."""
    with invocation.connect() as client:
        found = client.post("/admin/models/discard", {"collection": collection})
    if invocation.as_json:
        print_json(found)
    else:
        click.echo("Removed." if found["discarded"] else f"{collection} has only the vectors that serve.")


@command("changes", group=models, examples=["models changes", "models changes 5f0c… --follow"])
@click.argument("change_id", required=False)
@click.option("--follow", "following", is_flag=True, help="Stay until it is finished.")
def changes(invocation: Invocation, change_id: str | None, following: bool) -> int:
    """List the changes of embedding models, or show one with its comparison."""
    with invocation.connect() as client:
        if change_id:
            status = client.get(f"/admin/models/changes/{change_id}")
            return _follow(invocation, client, status, no_wait=not following, details=True)
        found = client.get("/admin/models/changes")
    if invocation.as_json:
        print_json(found)
        return DONE
    rows = [
        (c["change_id"], c["collection"], f"{c['previous_model']} -> {c['model']}", c["state"], c["step"],
         f"{c['done']}/{c['total']}", moment(c["created_at"]))
        for c in found["changes"]
    ]  # fmt: skip
    print_table(("id", "collection", "models", "state", "step", "chunks", "made"), rows, empty="No changes.")
    return DONE


@command("cancel", group=models, examples=["models cancel 5f0c…"])
@click.argument("change_id")
def cancel(invocation: Invocation, change_id: str) -> None:
    """End a change of model. What it has embedded is kept for the next change to the same model."""
    with invocation.connect() as client:
        status = client.delete(f"/admin/models/changes/{change_id}")
    if invocation.as_json:
        print_json(status)
    else:
        click.echo(f"The change to {status['model']} is cancelled.")


def _follow(
    invocation: Invocation, client: "Client", status: dict[str, Any], *, no_wait: bool, details: bool = False
) -> int:
    if not no_wait or (client.url is None and not details):  # without a server this process does the work
        path = f"/admin/models/changes/{status['change_id']}"
        status = follow(client, status, quiet=invocation.as_json, path=path, told=_told)
    if invocation.as_json:
        print_json(status)
    elif status["finished_at"] is None and not details:
        click.echo(f"Change {status['change_id']} is under way; `models changes {status['change_id']}` shows it.")
    else:
        _show(status)
    return FAILED if status["state"] == "FAILURE" else DONE


def _show(status: dict[str, Any]) -> None:
    """The comparison as a table, then how it ended."""
    report = status["report"]
    if report:
        columns = ("questions", "model", "recall@10", "MRR@10", "p50 ms", "p95 ms", "overlap@10")
        rows = [
            (f"{made['questions']} {made['kind']}", report[f"{which}_model"], *_figures(made[which]),
             "" if made["overlap"] is None else f"{made['overlap']:.3f}")
            for made in report["comparisons"] for which in ("old", "new")
        ]  # fmt: skip
        print_table(columns, rows)
    if status["truncated"]:
        click.echo(f"{status['truncated']} passages are longer than {status['model']} reads; their ends are cut off.")
    if status["error"]:
        click.secho(f"{status['collection']} keeps {status['previous_model']}: {status['error']}", fg="red", err=True)
        click.echo(f"hint: {status['hint']}", err=True)
    elif status["state"] == "SUCCESS":
        worse = " although it is worse (--force)" if report and report["worse"] else ""
        click.echo(f"{status['collection']} uses {status['model']} now{worse}; `models rollback` goes back.")
    else:
        print_pairs([(name, status[name]) for name in ("collection", "model", "state", "step", "done", "total")])


def _figures(made: dict[str, float]) -> tuple[str, ...]:
    return (f"{made['recall']:.3f}", f"{made['mrr']:.3f}", f"{made['p50_ms']:.1f}", f"{made['p95_ms']:.1f}")


def _told(status: dict[str, Any]) -> str:
    parts = [f"{status['done']}/{status['total']} passages"]
    if status["chunks_per_s"] and status["finished_at"] is None:
        parts.append(f"{status['chunks_per_s']:.0f}/s")
    if status["eta_s"] and status["finished_at"] is None:
        parts.append(f"{duration(status['eta_s'])} left")
    return " · ".join(parts)


def _setting(name: str, setting: str, *, as_json: bool) -> int:
    told = {"setting": setting, "value": name, "variable": f"RAG_APPLIANCE_{setting.upper()}={name}"}
    if as_json:
        print_json(told)
    else:
        click.echo(f"Put `{setting}: {name}` in the configuration file, or set {told['variable']}, and start again.")
    return DONE
