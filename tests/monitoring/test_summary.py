"""`monitoring show`: true to two pages, with the bounds of the alert rules."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.monitoring import alerts, summary
from appliance.monitoring.summary import Line, Page
from tests.web.conftest import Service, open_service  # noqa: F401 - a fixture


def page(questions: int, failed: int, slow: int, **more: float) -> Page:
    """A page after so many questions to /query, of which some failed and some took between 2 and 5 s."""
    both = {"2xx": questions - failed, "5xx": failed}
    lines = [
        f'rag_http_request_seconds_count{{method="POST",route="/query",status="{s}"}} {n}' for s, n in both.items()
    ]
    for bound, count in (("0.5", questions - slow), ("2.0", questions - slow), ("5.0", questions), ("+Inf", questions)):
        lines.append(
            f'rag_http_request_seconds_bucket{{method="POST",route="/query",status="2xx",le="{bound}"}} {count}'
        )
    return Page("\n".join(["# HELP x y", *lines, *(f"{name} {value}" for name, value in more.items())]))


def crossed(lines: list[Line]) -> set[str]:
    return {line.alert for line in lines if line.alert}


def test_all_is_well() -> None:
    lines = summary.summary(page(0, 0, 0), page(100, 0, 4), 10)
    assert crossed(lines) == set()
    shown = {line.name: line.shown for line in lines}
    assert shown["questions"] == "100, 10.0 a second"
    assert shown["95% answered"] == "within 0.5 s"


def test_errors_and_slow_answers_cross_their_bounds() -> None:
    assert crossed(summary.summary(page(50, 0, 0), page(150, 10, 0), 10)) == {"RagErrorRateHigh"}
    assert crossed(summary.summary(page(0, 0, 0), page(100, 0, 10), 10)) == {"RagLatencyP95High"}


def test_a_handful_of_questions_says_nothing() -> None:
    assert crossed(summary.summary(page(0, 0, 0), page(4, 4, 4), 10)) == set()


def test_what_is_short_is_named() -> None:
    now = Page(
        'rag_memory_used_bytes{scope="group"} 90\nrag_memory_limit_bytes{scope="group"} 100\n'
        'rag_disk_free_bytes{what="data"} 5\nrag_disk_size_bytes{what="data"} 100\n'
        'rag_queue_depth{queue="ingest"} 9\nrag_queue_limit{queue="ingest"} 10\n'
        'rag_index_missing_vectors{collection="c"} 3\nrag_breaker_open{breaker="generator"} 1\n'
        'rag_component_ready{component="generator"} 0\nrag_backup_interval_seconds 3600\n'
        'rag_last_backup_timestamp_seconds 0\nrag_answers_total{origin="computed"} 90\n'
        'rag_answers_total{origin="cache"} 10\n'
    )
    assert crossed(summary.summary(Page(""), now, 0)) == {
        *("RagMemoryHigh", "RagDiskAlmostFull", "RagQueueBackingUp", "RagIndexStale", "RagGeneratorBreakerOpen"),
        *("RagComponentNotReady", "RagBackupOld", "RagCacheHitRateLow"),
    }


def test_the_bounds_are_those_of_the_rules() -> None:
    told = {alert.name: alert.expression for alert in alerts()}
    for name, bound in (
        ("RagErrorRateHigh", f"> {summary.ERRORS}"),
        ("RagLatencyP95High", f"> {summary.P95_S}"),
        ("RagLatencyP99High", f"> {summary.P99_S}"),
        ("RagCacheHitRateLow", f"< {summary.CACHED}"),
        ("RagMemoryHigh", f"> {summary.MEMORY}"),
        ("RagDiskAlmostFull", f"< {summary.DISK}"),
        ("RagTaskWaiting", f"> {summary.OLDEST_S}"),
        ("RagQueueBackingUp", f"> {summary.QUEUE}"),
        ("RagIndexStale", f"> {summary.BEHIND_S}"),
        ("RagBackupOld", "> 2 * rag_backup_interval_seconds"),
    ):
        assert bound in told[name], name


@pytest.mark.slow
def test_the_command_shows_a_running_server(tmp_path: Path, open_service: Callable[..., Service]) -> None:  # noqa: F811
    service = open_service(data_dir=tmp_path / "data")
    service.add("a.txt", "The boiler is serviced in May.")
    (tmp_path / "data" / "server.json").write_text(
        json.dumps({"url": service.url, "key": service.appliance.local_key, "pid": 1})
    )
    arguments = ["monitoring", "show", "--seconds", "0", "--json", "--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    told = json.loads(done.output[done.output.index("{\n") :])  # beside it, lines of the server in this process
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    assert figures["index lacks"] == "0 chunks, 0 s behind"
    assert figures["queue of ingest"].startswith("0 of ")


def test_without_a_server_nothing_looks_well(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["monitoring", "show", "--json", "--data-dir", str(tmp_path)], standalone_mode=False)
    assert done.exit_code == 1
    assert json.loads(done.output)["code"] == "no_server"
    assert not list(tmp_path.iterdir())
