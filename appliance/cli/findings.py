"""What an examination finds: a line each as it comes, or one JSON document, and the exit code for the worst."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import rich_click as click

from appliance.cli.output import print_json
from appliance.cli.problem import DONE, FAILED, PARTLY

MARKS = {"ok": ("ok  ", "green"), "notice": ("note", "cyan"), "warning": ("warn", "yellow"), "error": ("FAIL", "red")}
_RANK = list(MARKS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `severity` is ok, notice (nothing is wrong), warning or error; `id` names the check for programs."""

    check: str
    severity: str
    detail: str
    hint: str = ""
    id: str = ""


def show(findings: Iterable[Finding], *, as_json: bool, strict: bool = False) -> int:
    """Print them as they come; 0 when nothing is wrong, 3 with warnings (1 if `strict`), 1 with errors."""
    found: list[Finding] = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            _print(finding)
    verdict = max((finding.severity for finding in found), key=_RANK.index, default="ok")
    if as_json:
        told = [asdict(finding) | {"id": finding.id or finding.check.replace(" ", "_")} for finding in found]
        print_json({"verdict": verdict, "findings": told})
    return (
        FAILED if verdict == "error" or (strict and verdict == "warning") else PARTLY if verdict == "warning" else DONE
    )


def _print(finding: Finding) -> None:
    mark, colour = MARKS[finding.severity]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.check}: {finding.detail}")
    if finding.hint:
        click.echo(f"      {finding.hint}")
