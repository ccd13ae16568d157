"""`prompts` and `costs` from the command line: clients of the routes, in process."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.answer.test_prompts import GOOD
from tests.cli.test_metadata_commands import run

__all__ = ["run"]  # a fixture


@pytest.mark.slow
def test_prompts_are_shown_added_shared_and_rolled_back(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "brief.txt"
    file.write_text(GOOD)
    shown = run("prompts", "show", "answer-1")
    assert shown.stdout.startswith("[system]\n")
    added = run("prompts", "add", str(file))
    assert added.exit_code == 0
    assert added.stdout.startswith("brief@")
    assert run("prompts", "split", "answer-1=9", "brief=1").stdout == "answer-1 answers 90%, brief answers 10%.\n"
    assert run("prompts", "use", "brief").stdout == "brief answers 100%.\n"
    assert run("prompts", "rollback").stdout == "answer-1 answers 90%, brief answers 10%.\n"
    listed = json.loads(run("prompts", "list", "--json").stdout)
    assert [(one["name"], one["share"]) for one in listed["prompts"]] == [("answer-1", 0.9), ("brief", 0.1)]
    assert run("prompts", "split", "brief").exit_code == 2
    assert run("prompts", "use", "nope").exit_code == 1
    file.write_text("no prompt")
    assert "[system]" in run("prompts", "add", str(file), "--name", "other").stderr


@pytest.mark.slow
def test_costs_are_counted_across_commands(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("The library opens at nine every morning.")
    assert run("ingest", str(file)).exit_code == 0
    assert "Nothing was asked" in run("costs").stdout
    for _ in range(2):
        run("ask", "When does the library open?")
    run("search", "library")
    (day,) = json.loads(run("costs", "--json").stdout)["days"]
    assert (day["name"], day["sums"]["questions"], day["sums"]["cached"], day["sums"]["searches"]) == ("local", 2, 1, 1)
    assert "local" in run("costs", "--days", "1").stdout
