"""The dashboards held against a Prometheus: every panel's query has an answer, or a reason why it has none."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.monitoring.export import FILES
from tests.monitoring.prometheus import Prometheus

VARIABLES = {"$__rate_interval": "10s", "$instance": ".*", "$__range": "2m", "$__interval": "5s"}
MAY_BE_EMPTY = {  # title of a panel: why
    "Age of the newest backup": "there is no room for one on the full disk, and the others take none",
    "Age of the capacity certificate": "none was made",
}


def dashboards() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted((FILES / "grafana").glob("*.json"))}


def queries() -> Iterator[tuple[str, str, str]]:
    """(dashboard, panel, expression) of every query."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield name, panel["title"], target["expr"]


def problems(prometheus: Prometheus) -> list[str]:
    """Panels without data, and why Prometheus refused them."""
    found = []
    for name, title, expression in queries():
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        expression = re.sub(r"\[(\d+)m\]", "[20s]", expression)
        try:
            if not prometheus.query(expression) and title not in MAY_BE_EMPTY:
                found.append(f"{Path(name).stem}: {title}: {expression}")
        except ValueError as error:
            found.append(f"{Path(name).stem}: {title}: {error}")
    return found
