"""`calibrate`: fitted, shown, removed; and told when it cannot be."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import run, told
from tests.erasure.conftest import unique_text


@pytest.fixture
def stored(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAG_APPLIANCE_EMBEDDER", "hash")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number}.txt").write_text(unique_text(str(number), sentences=5), "utf-8")
    assert run(data, "ingest", str(folder)).exit_code == 0
    return data


@pytest.mark.slow
def test_fitted_shown_and_removed(stored: Path) -> None:
    tried = run(stored, "calibrate", "--dry-run", "--made", "60")
    assert tried.exit_code == 0, tried.output
    assert "Nothing was changed" in tried.output
    fitted = run(stored, "calibrate", "--made", "60", "--max-wrong", "0.1")
    assert fitted.exit_code == 0, fitted.output
    for part in ("at most 10.0% wrong", "until now", "questions made from the documents", "now declines below"):
        assert part in fitted.output
    assert "calibration to 10.0% wrong" in run(stored, "calibrate", "--show").output
    assert told(stored, "calibrate", "--show")["collections"][0]["calibrated"]
    assert "Removed" in run(stored, "calibrate", "--remove").output
    assert "There was no calibration" in run(stored, "calibrate", "--remove").output


@pytest.mark.slow
def test_an_operators_questions(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text("What is this?\n" + json.dumps({"question": "And that?", "answerable": False}) + "\n", "utf-8")
    refused = run(stored, "calibrate", str(path))
    assert refused.exit_code == 1
    assert "cannot prove" in refused.output
    path.write_text("{not json}\n", "utf-8")
    assert "line 1 is not JSON" in run(stored, "calibrate", str(path)).output
