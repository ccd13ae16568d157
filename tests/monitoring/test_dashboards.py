"""The dashboards: whole, without overlaps, asking for what is there; and times of rules divided as they say."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from appliance.monitoring.export import FILES
from appliance.telemetry.declared import declared
from tests.monitoring.dashboards import dashboards, queries
from tests.monitoring.names import metrics_of
from tests.monitoring.scaled import scaled_expression, scaled_time, seconds
from tests.web.conftest import QUESTION, Service, open_service  # noqa: F401 - a fixture

BOARDS = sorted(dashboards())


def expressions() -> list[str]:
    """Of all rules and panels."""
    rules = [
        rule["expr"]
        for path in FILES.glob("*-rules.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    return rules + [expression for _, _, expression in queries()]


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_imports_anywhere(name: str) -> None:
    board = dashboards()[name]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert "id" not in board
    assert board["schemaVersion"] >= 36
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_boards_and_titles_have_names_of_their_own() -> None:
    boards = dashboards().values()
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 4
    for board in boards:
        titles = [panel["title"] for panel in board["panels"]]
        assert len(titles) == len(set(titles))
        assert board["description"]


def test_every_metric_is_declared_with_its_labels() -> None:
    known = {metric.exported: set(metric.labels) for metric in declared()}
    recorded = {
        rule["record"]
        for group in yaml.safe_load((FILES / "recording-rules.yml").read_text())["groups"]
        for rule in group["rules"]
    }
    for _, title, expression in queries():
        for name, labels in metrics_of(expression):
            if name.startswith(("process_", "up")):
                continue
            if name.startswith("instance:"):
                assert name in recorded, title
            else:
                assert labels <= known[name] | {"job", "instance"}, title


@pytest.mark.slow
def test_every_metric_is_on_the_page_of_a_running_appliance(open_service: Callable[..., Service]) -> None:  # noqa: F811
    service = open_service(generator="scripted")
    service.add("notes/heating.txt", "The boiler must be serviced every twelve months by a licensed engineer.")
    with service.client() as client:
        asked: list[dict[str, Any]] = [
            {"question": QUESTION},
            {"question": QUESTION},
            {"question": QUESTION, "mode": "generative"},
        ]
        for body in asked:
            assert client.post("/query", json=body).status_code == 200
        assert client.post("/search", json={"question": QUESTION}).status_code == 200
        page = _page(client)
    for expression in expressions():
        for name, labels in metrics_of(expression):
            if name == "up" or name.startswith("instance:"):
                continue
            assert name in page, name
            if page[name]:
                assert labels - {"job", "instance"} <= page[name], name


def _page(client: httpx.Client) -> dict[str, set[str]]:
    """Metrics by the names that rules use, each with the labels of its series; empty where there is no series yet."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = set().union(*(set(sample.labels) for sample in family.samples)) - {"le"}
    return found


def test_times_of_rules_are_divided() -> None:
    assert seconds("23h30m") == 84_600
    assert scaled_time("5m", 60) == "5000ms"
    assert scaled_expression("rate(x[5m]) > 2 and y[1h] offset 23h30m", 60) == (
        "rate(x[5000ms]) > 2 and y[60000ms] offset 1410000ms"
    )
    assert scaled_expression("predict_linear(x[1h], 4 * 3600) < 0", 60) == "predict_linear(x[60000ms], 240) < 0"
    assert scaled_expression("rag_oldest_job_seconds > 1800", 60) == "rag_oldest_job_seconds > 30"
    assert (
        scaled_expression("instance:rag_question_seconds:p95_5m > 2", 60) == "instance:rag_question_seconds:p95_5m > 2"
    )
