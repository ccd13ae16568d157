"""What an examination finds: a line each as it comes, or one JSON document, and the exit code for the worst."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import rich_click as click

from appliance.cli.output import print_json
from appliance.cli.problem import DONE, FAILED, PARTLY

MARKS = {"ok": ("ok  ", "green"), "warning": ("warn", "yellow"), "error": ("FAIL", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `severity` is ok, warning or error."""

    check: str
    severity: str
    detail: str
    hint: str = ""


def show(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print them as they come; 0 when all is well, 3 with warnings, 1 with errors."""
    found: list[Finding] = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            _print(finding)
    worst = {finding.severity for finding in found}
    verdict = "error" if "error" in worst else "warning" if "warning" in worst else "ok"
    if as_json:
        print_json({"verdict": verdict, "findings": [asdict(finding) for finding in found]})
    return {"ok": DONE, "warning": PARTLY, "error": FAILED}[verdict]


def _print(finding: Finding) -> None:
    mark, colour = MARKS[finding.severity]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.check}: {finding.detail}")
    if finding.hint:
        click.echo(f"      {finding.hint}")
