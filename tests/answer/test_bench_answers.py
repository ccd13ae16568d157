"""`bench answers --data`: which data sets a folder holds, which parts they allow, and what must be reached."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.types import Passage, Vector
from bench import answer_parts
from bench.answers import Remembered
from bench.answers_reach import GOALS, judged

PARAGRAPHS = ("The lighthouse at Cape Arran was built by Margaret Sloane.", "The pump moves 40 litres a minute.")
QUESTIONS = ("Who built the lighthouse at Cape Arran?", "How much does the pump move?")
ANSWERS = ("Margaret Sloane", "40 litres")


def _squad(folder: Path) -> Path:
    """Four articles of one paragraph each, half of their questions without an answer."""
    articles = []
    for number in range(4):
        text, question, answer = (one[number // 2] for one in (PARAGRAPHS, QUESTIONS, ANSWERS))
        places = [{"text": answer, "answer_start": text.index(answer)}]
        qas = [
            {"question": question, "answers": places, "is_impossible": False},
            {"question": f"{question[:-1]} in winter?", "answers": [], "is_impossible": True},
        ]
        articles.append({"title": f"Notes_{number}", "paragraphs": [{"context": text, "qas": qas}]})
    folder.mkdir(parents=True)
    (folder / "dev.json").write_text(json.dumps({"data": articles}))
    return folder


class _Counted:
    name = fingerprint = "counted"
    asked = 0

    def read(self, question: str, passages: list[Passage], deadline: float) -> list[Vector]:
        self.asked += len(passages)
        return [[float(len(one.text))] for one in passages]  # type: ignore[misc]

    def close(self) -> None:
        pass


def test_data_sets_are_found_beside_each_other(tmp_path: Path) -> None:
    _squad(tmp_path / "answers" / "squad2")
    (tmp_path / "hostile" / "poisonedrag").mkdir(parents=True)
    (tmp_path / "hostile" / "poisonedrag" / "msmarco.json").write_text("{}")
    found = answer_parts.found_in(tmp_path)
    assert found.squad == tmp_path / "answers" / "squad2" / "dev.json"
    assert found.hostile == tmp_path / "hostile"
    assert found.parts() == set(answer_parts.PARTS) - {"syllabi"}
    assert answer_parts.found_in(found.squad).parts() == set(answer_parts.SQUAD_PARTS)


def test_a_folder_without_data_and_a_part_without_its_own_are_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", threads=1)
    with pytest.raises(InvalidRequest, match="none of the data sets"):
        answer_parts.run(tmp_path, settings, (), 1, lambda told: None)
    with pytest.raises(InvalidRequest, match="no data for syllabi"):
        answer_parts.run(_squad(tmp_path / "squad"), settings, ("syllabi", "claims"), 1, lambda told: None)


def test_a_part_runs_alone_and_says_what_it_must_reach(tmp_path: Path) -> None:
    told: list[str] = []
    settings = Settings(data_dir=tmp_path / "data", threads=1)
    result = answer_parts.run(_squad(tmp_path / "squad"), settings, ("extraction", "adversarial"), 1, told.append)
    assert told == ["SQuAD: extraction, adversarial"]
    names = ["right paragraph given", "retrieved from all articles", "refusal, adversarial questions"]
    assert [run["name"] for run in result["runs"]] == names
    assert [row["must"] for row in result["reach"]] == [">= 0.82", ">= 0.72", ">= 0.66"]
    assert result["reach"][0] == {**result["reach"][0], "is": 1.0, "mark": "ok"}


def test_documents_that_agree_are_counted_on_the_articles_that_nothing_was_chosen_on(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", threads=1)
    result = answer_parts.run(_squad(tmp_path / "squad"), settings, ("agreeing",), 1, lambda told: None)
    assert result["runs"] == [{"name": "documents that agree", "questions": 2, "conflict_told": 0.0}]
    assert [row["mark"] for row in result["reach"]] == ["ok"]


def test_marks_say_what_falls_short() -> None:
    at_least, at_most = GOALS[0], next(goal for goal in GOALS if goal.at_most)
    runs = [{"name": goal.name, goal.key: 0.5} for goal in (at_least, at_most)]
    assert [row["mark"] for row in judged(runs)] == ["short", "short"]
    assert [row["mark"] for row in judged([{"name": at_least.name, at_least.key: at_least.limit}])] == ["ok"]


def test_a_passage_is_read_once_for_a_question() -> None:
    counted = _Counted()
    reader = Remembered(counted)  # type: ignore[arg-type]
    first, second = Passage("", "one", []), Passage("", "three", [])
    assert reader.read("q", [first], 0.0) == [[3.0]]
    assert reader.read("q", [second, first], 0.0) == [[5.0], [3.0]]
    reader.read("another", [first], 0.0)
    assert counted.asked == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parts", "claims"], "Add --data"),
        (["--data", "MISSING"], "does not exist"),
        (["--data", ".", "--parts", "taste"], "Choose from extraction"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["bench", "answers", *arguments])
    assert done.exit_code == 2
    assert told in done.output
