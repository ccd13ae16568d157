"""`bench retrieval` and `bench answers` with nothing but the program, and with questions of one's own."""

import json
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import HANDBOOK
from bench import known
from bench.handbook_questions import QUESTIONS, Known
from bench.serving import fill, server


def _settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, embedder="hash", generator="none", threads=1)


@pytest.mark.parametrize("one", [one for one in QUESTIONS if one.document], ids=lambda one: one.question)
def test_the_handbook_answers_its_questions(one: Known) -> None:
    text = (HANDBOOK / one.document).read_text(encoding="utf-8")
    assert one.answer in text


@pytest.mark.slow
def test_the_handbook_is_asked_where_nothing_is_named(tmp_path: Path) -> None:
    found = known.retrieval(_settings(tmp_path))
    assert [run["name"] for run in found["runs"]] == ["served", "dense", "bm25"]
    assert found["runs"][0]["hit@10"] > 0.8
    told = known.answers(_settings(tmp_path))["runs"]
    assert told[0]["right_document"] > 0.3
    assert 0 <= told[1]["rightly_declined"] <= 1


@pytest.mark.slow
def test_own_questions_are_asked_of_own_documents(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "own")
    settings.data_dir.mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "pump.md").write_text("# Pump\n\nThe pump was delivered by Ada Works in March.\n")
    (tmp_path / "texts" / "valve.md").write_text("# Valve\n\nThe valve opens at seven bar of pressure.\n")
    with server(settings.data_dir, settings) as (url, key):
        fill(url, key, tmp_path / "texts")
    rows = [{"question": "Who delivered the pump?", "document": "pump.md", "answer": "Ada Works"}]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = known.retrieval(settings, tmp_path / "questions.jsonl")
    assert found["runs"][0]["hit@1"] == 1
    assert found["documents"] == 2
    told = known.answers(settings, tmp_path / "questions.jsonl")["runs"][0]
    assert told["answer_shown"] == 1


def test_questions_without_documents_are_of_no_use_to_retrieval(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "What now?"}\n')
    with pytest.raises(InvalidRequest) as told:
        known.retrieval(_settings(tmp_path), tmp_path / "questions.jsonl")
    assert told.value.code == "bad_data"
