"""`calibrate`: fit the evidence below which a collection's questions are declined."""

from pathlib import Path
from typing import Any

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import moment, print_json, print_table
from appliance.cli.problem import DONE, FAILED
from appliance.cli.progress import follow
from appliance.cli.questions import read_questions

OVERLAP = (
    "Documents that speak of the same things cover each other, so that leaving one out proves little: give questions "
    'of your own with "answerable": false, allow more wrong answers, or accept it with --min-answered 0.'
)


@command("calibrate", examples=[
    "calibrate",
    "calibrate our-questions.jsonl --collection reports --max-wrong 0.02",
    "calibrate --dry-run",
    "calibrate --show",
])  # fmt: skip
@click.argument("questions", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--collection", default="default", show_default=True, help="Which collection.")
@click.option("--max-wrong", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
              show_default=True, help="Of questions that documents do not cover, the share answered.")  # fmt: skip
@click.option("--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9,
              show_default=True, help="That the share is really not greater, given so many questions.")  # fmt: skip
@click.option("--made", type=click.IntRange(1, 2_000), default=300, show_default=True,
              help="Questions made from the documents, where you give none.")  # fmt: skip
@click.option("--min-answered", type=click.FloatRange(0, 1), default=0.75, show_default=True,
              help="Share of the covered questions; a threshold that answers fewer is not put to use.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the figures and change nothing.")
@click.option("--show", is_flag=True, help="Show what is in force.")
@click.option("--remove", is_flag=True, help="Go back to the setting abstain_below.")
def calibrate(
    invocation: Invocation,
    questions: Path | None,
    collection: str,
    max_wrong: float,
    confidence: float,
    made: int,
    min_answered: float,
    dry_run: bool,
    show: bool,
    remove: bool,
) -> int:
    """Fit when to decline, to a stated rate of wrong answers: by your QUESTIONS, or by questions made from documents.

    QUESTIONS has one question a line, or JSON: {"question": "…", "source": "report.pdf"} is asked with and without that
    document, {"question": "…", "answerable": false} is one that the documents do not cover.
    """
    if show:
        return _show(invocation)
    if remove:
        return _remove(invocation, collection)
    body = {
        "collection": collection,
        "questions": read_questions(questions) if questions else [],
        "max_wrong": max_wrong,
        "confidence": confidence,
        "made": made,
        "min_answered": min_answered,
        "apply": not dry_run,
    }
    with invocation.connect() as client:
        status = client.post("/admin/calibrations", body)
        status = follow(client, status, quiet=invocation.as_json, path=status["status_url"], told=_told)
    if invocation.as_json:
        print_json(status)
    else:
        _print(status, dry_run=dry_run)
    return FAILED if status["state"] == "FAILURE" else DONE


def _told(status: dict[str, Any]) -> str:
    return f"{status['done']}/{status['total']} questions" if status["total"] else ""


def _print(status: dict[str, Any], *, dry_run: bool) -> None:
    if status["error"]:
        click.secho(status["error"], fg="red", err=True)
        click.echo(f"hint: {status['hint']}", err=True)
        return
    report = status["report"]
    rows = [
        ("until now", *_figures(report["before"])),
        (f"at most {report['max_wrong']:.1%} wrong", *_figures(report["fitted"])),
    ]
    rows += [(f"at most {row['max_wrong']:.1%} wrong", *_figures(row)) for row in report["other_rates"]
             if row["max_wrong"] != report["max_wrong"]]  # fmt: skip
    print_table(("", "abstain_below", "covered, answered", "not covered, answered"), rows)
    kind = "made from the documents" if report["made_questions"] else "of yours"
    click.echo(f"{report['covered']} covered and {report['uncovered']} uncovered questions {kind}.")
    if report["applied"]:
        click.echo(
            f"{status['collection']} now declines below {report['abstain_below']:.4g}; `calibrate --remove` undoes it."
        )
    elif dry_run:
        click.echo("Nothing was changed (--dry-run).")
    else:
        click.secho("Not put to use: too many covered questions would be declined.", fg="yellow")
        click.echo(OVERLAP)


def _figures(row: dict[str, float]) -> tuple[str, ...]:
    return (f"{row['abstain_below']:.4g}", f"{row['answered']:.1%}", f"{row['wrong']:.1%}")


def _show(invocation: Invocation) -> int:
    with invocation.connect() as client:
        found = client.get("/admin/calibrations")
    if invocation.as_json:
        print_json(found)
        return DONE
    rows = [
        (
            row["collection"],
            f"{row['abstain_below']:.4g}",
            _origin(row),
            moment(row["made_at"]) if row["made_at"] else "",
        )
        for row in found["collections"]
    ]
    print_table(("collection", "abstain_below", "from", "made"), rows)
    return DONE


def _origin(row: dict[str, Any]) -> str:
    if row["calibrated"]:
        return f"calibration to {row['report']['max_wrong']:.1%} wrong"
    return "setting; the calibration is for another model or version" if row["stale"] else "setting"


def _remove(invocation: Invocation, collection: str) -> int:
    with invocation.connect() as client:
        found = client.delete(f"/admin/calibrations/{collection}")
    if invocation.as_json:
        print_json(found)
    else:
        click.echo(
            "Removed; the setting abstain_below is in force." if found["removed"] else "There was no calibration."
        )
    return DONE
