"""`index`: rebuilt, compacted, rolled back, in process and on a running server; what failed is told."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.commands import run, start, told, wait_for_server

WORDS = ("pump", "filter", "lease", "boiler", "valve", "ledger", "orchard", "harbour", "violin", "glacier")


@pytest.fixture
def graph(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory whose one collection is searched through a graph."""
    monkeypatch.setenv("RAG_APPLIANCE_EXACT_SCAN_BELOW", "10")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        word = WORDS[number % len(WORDS)]
        (folder / f"{number}.txt").write_text(f"The {word} number {number} was made of {word} parts.", "utf-8")
    assert run(data, "ingest", str(folder)).exit_code == 0
    return data


@pytest.mark.slow
def test_rebuild_compact_and_roll_back_without_a_server(graph: Path) -> None:
    rebuilt = told(graph, "index", "rebuild")["index"]
    assert (rebuilt["kind"], rebuilt["job"]) == ("hnsw", None)
    assert (rebuilt["last"]["name"], rebuilt["last"]["state"], rebuilt["recall"]) == ("rebuild", "done", 1.0)
    assert "rebuilt" in run(graph, "index", "rebuild", "--no-wait").output  # nobody else would do the work
    back = run(graph, "index", "rollback")
    assert (back.exit_code, "rolled back (30 vectors" in back.output) == (0, True), back.output
    table = run(graph, "index", "status").output
    assert "previous" in table
    assert "current" in table
    told(graph, "documents", "delete", "1")
    done = run(graph, "index", "compact")
    assert done.exit_code == 0
    assert "compacted" in done.output
    assert "29 vectors" in done.output
    assert told(graph, "index", "status")["indexes"][0]["removed"] == 0
    refused = run(graph, "index", "rollback", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["code"] == "no_previous_generation"
    assert run(graph, "index", "verify").exit_code == 0


@pytest.mark.slow
def test_a_job_on_a_running_server(graph: Path) -> None:
    server = start(graph, "serve", "--port", "0")
    try:
        wait_for_server(graph, server)
        begun = told(graph, "index", "rebuild", "--no-wait")
        assert (begun["job"], begun["status_url"]) == ("rebuild", "/admin/index/default")
        while told(graph, "index", "status")["indexes"][0]["job"]:
            time.sleep(0.05)
        assert told(graph, "index", "rollback")["index"]["last"]["state"] == "done"
        assert told(graph, "search", "violin")["hits"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0
