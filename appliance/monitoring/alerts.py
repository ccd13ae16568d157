"""The alerts as the rule file has them, for the handbook."""

from dataclasses import dataclass
from typing import Any

import yaml

from appliance.monitoring.export import FILES

RULES = "alert-rules.yml"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: after which time it fires (as Prometheus writes it, "" at once), and where it says what to do."""

    name: str
    expression: str
    after: str
    severity: str
    summary: str
    description: str
    runbook: str


def alerts() -> list[Alert]:
    """All, in the order of the file."""
    told: dict[str, Any] = yaml.safe_load((FILES / RULES).read_text("utf-8"))
    return [_alert(rule) for group in told["groups"] for rule in group["rules"]]


def _alert(rule: dict[str, Any]) -> Alert:
    notes = rule["annotations"]
    told = (notes["summary"], notes["description"], notes["runbook"])
    return Alert(rule["alert"], rule["expr"].strip(), rule.get("for", ""), rule["labels"]["severity"], *told)
