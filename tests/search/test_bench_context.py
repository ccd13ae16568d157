"""The benchmark of compression on a small set in the form of SQuAD 2.0, and of conversations."""

import json
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import HashEmbedder
from bench import compression, conversation

PARAGRAPH = (
    "The pump was built in Aberdeen. It moves forty litres of water a minute. Its seal is made of rubber. "
    "The motor is painted red and stands on a plinth. The keeper oils the bearing on the first Monday of each month."
)


def write_squad(folder: Path) -> Path:
    def asked(text: str, answer: str) -> dict[str, object]:
        place = {"text": answer, "answer_start": PARAGRAPH.index(answer)}
        return {"question": text, "is_impossible": False, "answers": [place]}

    questions = [
        asked("How many litres of water does the pump move a minute?", "forty litres"),
        asked("On which day does the keeper oil the bearing?", "first Monday"),
        {"question": "Who painted the ceiling?", "is_impossible": True, "answers": []},
    ]
    article = {"title": "Pump", "paragraphs": [{"context": PARAGRAPH, "qas": questions}]}
    other = {"title": "Bread", "paragraphs": [{"context": "Bread is baked from flour and water.", "qas": []}]}
    folder.mkdir()
    (folder / "dev.json").write_text(json.dumps({"data": [article, other]}))
    return folder


def test_compression_keeps_what_cutting_loses(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, threads=1)
    result = compression.run(write_squad(tmp_path / "squad"), settings, embedder=HashEmbedder())
    assert (result["documents"], result["queries"]) == (2, 2)
    rows = {row["name"]: row for row in result["runs"]}
    assert len(rows) == len(result["runs"]) == 8
    for row in rows.values():
        assert row["tokens_after"] <= row["tokens_before"] * 0.5
        assert row["answer_before"] == 1.0
    assert rows["right paragraph given, 50% of the tokens"]["kept"] == 1.0
    assert rows["right paragraph given, cut after 50%"]["kept"] == 0.5  # the second answer is the last sentence's


def write_tasks(folder: Path) -> Path:
    def task(number: int, question: str, answer: str, then: str, needed: str) -> dict[str, object]:
        spoken = [("user", question), ("agent", answer), ("user", then)]
        return {
            "task_id": str(number),
            "contexts": [{"document_id": needed.split()[1], "text": needed}],
            "input": [{"speaker": speaker, "text": text} for speaker, text in spoken],
        }

    tasks = [
        task(1, "Who built the lighthouse?", "Sloane.", "And when?", "The lighthouse was built by Sloane in 1874."),
        task(2, "Is the dough kneaded?", "Yes.", "How long?", "The dough is kneaded for ten minutes."),
        task(
            3, "What moves the water?", "A pump.", "Its price?", "The pump moves water and has a price of ten pounds."
        ),
    ]
    other = {"task_id": "4", "contexts": [], "input": [{"speaker": "user", "text": "Hello?"}]}
    folder.mkdir()
    (folder / "tasks.jsonl").write_text("\n".join(json.dumps(row) for row in [*tasks, other]))
    return folder


def test_condensed_questions_find_their_passages(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, threads=1)
    result = conversation.run(write_tasks(tmp_path / "mtrag"), settings, embedder=HashEmbedder())
    assert (result["documents"], result["queries"]) == (3, 2)
    rows = {row["name"]: row for row in result["runs"]}
    assert list(rows) == ["as asked", "behind the question before", "condensed"]
    assert rows["as asked"]["changed"] == 0
    assert rows["condensed"]["changed"] == 2
    assert rows["condensed"]["mrr@10"] == 1.0


def test_other_data_are_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, threads=1)
    (tmp_path / "tasks.jsonl").write_text('{"task_id": 1}')
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidRequest):
            conversation.run(folder, settings, embedder=HashEmbedder())
