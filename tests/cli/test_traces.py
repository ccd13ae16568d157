"""`traces`, `ask --trace` and `search --trace`: the waterfall, readable at 80 columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.waterfall import waterfall
from tests.cli.test_metadata_commands import run

__all__ = ["run"]  # a fixture


def span(name: str, parent: int | None, start: float, length: float, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "parent": parent,
        "start_ms": start,
        "duration_ms": length,
        "status": "ok",
        "attributes": {},
    }
    return {**found, **more}


def trace(*spans: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "query_id": "ab12",
        "route": "/query",
        "duration_ms": 100.0,
        "status": 200,
        "spans": list(spans),
    }
    return {**found, "left_out": {}, **more}


def test_steps_are_below_what_they_are_part_of_and_bars_in_proportion() -> None:
    steps = trace(
        span("/query", None, 0, 100),
        span("late", 3, 75, 25),
        span("early", 3, 25, 25, attributes={"hits": 3}),
        span("answer", 0, 25, 75),
    )
    head, root, answer, early, note, late = waterfall(steps, 80)
    assert head.startswith("ab12  /query")
    assert answer.startswith("  answer ")
    assert early.startswith("    early ")
    assert note.strip() == "hits=3"
    assert late.startswith("    late ")
    full = root.count("█")
    assert abs(answer.count("█") - full * 0.75) <= 1
    assert early.index("█") == answer.index("█")
    assert abs(late.count("█") - full * 0.25) <= 1
    assert all(len(line) <= 80 for line in (head, root, answer, early, note, late))


def test_what_failed_goes_on_or_was_left_out_is_told() -> None:
    steps = trace(
        span("ingest", None, 0, 100),
        span("read", 0, 0, 0.0001, status="unreadable"),
        span("embed", 0, 90, 50, status="unfinished"),
        left_out={"ingest.read": {"spans": 12000, "ms": 5.5}},
    )
    lines = list(waterfall(steps, 60))
    assert any("! unreadable" in line for line in lines)
    assert any("! unfinished" in line for line in lines)
    assert lines[-1] == "ingest.read: 12,000 more, 5.500 ms in all"
    assert all(len(line) <= 60 for line in lines)


def test_a_deep_trace_fits_as_well() -> None:
    steps = trace(*(span("a-long-name-of-a-step", None if depth == 0 else depth - 1, 0, 1) for depth in range(30)))
    assert all(len(line) <= 80 for line in waterfall(steps, 80))


@pytest.mark.slow
def test_an_answer_comes_with_its_trace(run: Any, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The library opens at nine every morning.")
    assert run("ingest", str(tmp_path / "note.txt")).exit_code == 0
    shown = run("ask", "When does the library open?", "--trace")
    assert shown.exit_code == 0
    assert "  answer " in shown.stdout
    assert "    extract" in shown.stdout
    found = json.loads(run("search", "library", "--trace", "--json").stdout)
    assert found["trace"]["query_id"] == found["query_id"]
    assert "trace" not in json.loads(run("search", "library", "--json").stdout)


@pytest.mark.slow
def test_without_a_server_there_is_nothing_to_list(run: Any) -> None:
    for arguments in ((), ("--slowest",), ("list", "--errors")):
        assert "No traces" in run("traces", *arguments).stdout
    assert json.loads(run("traces", "--json").stdout)["traces"] == []
    assert run("traces", "--slowest", "--errors").exit_code == 2
    gone = run("traces", "show", "0123456789abcdef")
    assert gone.exit_code == 1
    assert "Kept in memory" in gone.output
    elsewhere = run("traces", "show", "../keys")
    assert elsewhere.exit_code == 1
    assert "Not Found" in elsewhere.output
