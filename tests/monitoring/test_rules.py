"""The rules: valid, each alert proved by promtool, all metrics real, every runbook there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from appliance.monitoring import alerts
from appliance.monitoring.export import FILES
from appliance.paths import HANDBOOK
from appliance.telemetry.declared import declared
from tests.monitoring.names import metrics_of

UNIT_TESTS = Path(__file__).with_name("alerts_test.yml")
RULES = (FILES / "recording-rules.yml", FILES / "alert-rules.yml")

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")


@promtool
def test_promtool_accepts_the_rules_and_the_sample() -> None:
    subprocess.run(["promtool", "check", "rules", *RULES], check=True, capture_output=True)
    sample: list[str | Path] = ["promtool", "check", "config", "--syntax-only", FILES / "prometheus-sample.yml"]
    subprocess.run(sample, check=True, capture_output=True)


@promtool
@pytest.mark.slow
def test_every_alert_fires_when_it_must_and_only_then(tmp_path: Path) -> None:
    tests = UNIT_TESTS.read_text().replace("RECORDING", str(RULES[0])).replace("ALERTS\n", f"{RULES[1]}\n", 1)
    (tmp_path / "tests.yml").write_text(tests)
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_that_sees_it_fire() -> None:
    checks = [check for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for check in test["promql_expr_test"]]
    fired = " ".join(check["expr"] for check in checks if check.get("exp_samples"))
    silent = " ".join(check["expr"] for check in checks if not check.get("exp_samples"))
    for alert in alerts():
        assert f'"{alert.name}"' in fired, alert.name
    assert "RagErrorRateHigh" in silent


def test_every_alert_says_what_a_person_needs() -> None:
    for alert in alerts():
        assert alert.severity in {"critical", "warning"}
        assert alert.summary.endswith(".")
        assert "$labels.instance" in alert.description
        assert re.search(r"\$value|\$labels\.(?!instance)|minutes", alert.description), alert.name


def test_every_runbook_is_there() -> None:
    page = HANDBOOK / "runbooks.md"
    if not page.exists():
        pytest.skip("there is no page of runbooks yet")
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    anchors |= set(re.findall(r'(?:id|name)="([^"]+)"', page.read_text()))
    for alert in alerts():
        name, _, section = alert.runbook.partition("#")
        assert name == "handbook/runbooks.md"
        assert section in anchors, alert.name


def test_every_metric_of_the_rules_is_declared_with_its_labels() -> None:
    known = {metric.exported: set(metric.labels) for metric in declared()}
    recorded = set(re.findall(r"record: (\S+)", RULES[0].read_text()))
    found = set()
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                for name, labels in metrics_of(rule["expr"]):
                    if name.startswith("instance:"):
                        assert name in recorded
                    elif name != "up":
                        assert name in known, name
                        assert labels <= known[name] | {"job", "instance"}, (name, labels)
                        found.add(name)
    assert len(found) > 10
