"""The benchmark of compression, on a small set in the form of SQuAD 2.0."""

import json
from pathlib import Path

from appliance.config import Settings
from appliance.inference import HashEmbedder
from bench.compression import run

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
    result = run(write_squad(tmp_path / "squad"), settings, embedder=HashEmbedder())
    assert (result["documents"], result["queries"]) == (2, 2)
    rows = {row["name"]: row for row in result["runs"]}
    assert len(rows) == len(result["runs"]) == 8
    for row in rows.values():
        assert row["tokens_after"] <= row["tokens_before"] * 0.5
        assert row["answer_before"] == 1.0
    assert rows["right paragraph given, 50% of the tokens"]["kept"] == 1.0
    assert rows["right paragraph given, cut after 50%"]["kept"] == 0.5  # the second answer is the last sentence's
