"""Prompts as files: what is accepted, who is answered with which, the way back, and what a torn folder does."""

import json
from pathlib import Path

import pytest

from appliance.answer import Prompts
from appliance.answer.prompt_files import CHOICES, KEPT_CHOICES, MOST_PROMPTS
from appliance.answer.prompts import BUNDLED, LONGEST_PROMPT, NOTHING_FOUND, read_bundled
from appliance.errors import ApplianceError, Conflict, InvalidRequest, NotFound

GOOD = f"[system]\nBe brief. Else write: {NOTHING_FOUND}.\n[user]\nPassages:\n{{passages}}\n\nQuestion: {{question}}\n"


def test_the_bundled_prompt_is_a_good_one_and_in_use(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    assert [prompt.name for prompt in prompts.all()] == [BUNDLED]
    assert prompts.for_question("Why?", "me") == read_bundled()
    assert read_bundled().id.startswith(f"{BUNDLED}@")
    assert NOTHING_FOUND in read_bundled().text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Be brief. {passages} {question}",
        "[system]\nBe brief.\n{passages} {question}",
        "[user]\n{passages} {question}",
        GOOD.replace("{passages}", ""),
        GOOD.replace("{question}", ""),
        GOOD.replace("Be brief.", "Answer {question} briefly."),
        GOOD.replace("Question: {question}", "Question: {question} {question}"),
        GOOD.replace("{passages}", "{passages} {passages}"),
        "[system]\nBe brief.\n[user]\nQuestion: {question}\n\n{passages}",
        GOOD + "Now answer in three short sentences, please, and in English.",
        GOOD.replace("Be brief.", "Be\x00brief."),
        GOOD.replace("Be brief.", "Be brief. " * (LONGEST_PROMPT // 10)),
    ],
)
def test_a_prompt_that_would_not_work_is_refused(tmp_path: Path, text: str) -> None:
    prompts = Prompts(tmp_path)
    with pytest.raises(InvalidRequest) as refused:
        prompts.add("mine", text)
    assert refused.value.code == "invalid_prompt"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "Mine", "a/b", "../up", ".hidden", "a" * 51, "a b", "ä"])
def test_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest):
        Prompts(tmp_path).add(name, GOOD)


def test_an_added_prompt_is_kept_and_never_changed(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    made, warning = prompts.add("mine", GOOD)
    assert (made.name, made.system, warning) == ("mine", f"Be brief. Else write: {NOTHING_FOUND}.", "")
    assert (tmp_path / "mine.txt").stat().st_mode & 0o777 == 0o600
    for name in ("mine", BUNDLED):
        with pytest.raises(Conflict):
            prompts.add(name, GOOD)
    _, warning = prompts.add("silent", GOOD.replace(NOTHING_FOUND, "nothing"))
    assert NOTHING_FOUND in warning
    assert prompts.choice.shares == {BUNDLED: 1.0}
    again = Prompts(tmp_path)
    assert [prompt.name for prompt in again.all()] == [BUNDLED, "mine", "silent"]
    assert again.named("mine") == made
    assert again.with_id(made.id) == made


def test_another_text_is_another_id(tmp_path: Path) -> None:
    made, _ = Prompts(tmp_path).add("mine", GOOD)
    (tmp_path / "mine.txt").write_text(GOOD.replace("brief", "kind"))
    changed = Prompts(tmp_path).named("mine")
    assert changed.id != made.id
    assert changed.id.startswith("mine@")


def test_switching_and_the_way_back(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    with pytest.raises(Conflict) as refused:
        prompts.roll_back()
    assert refused.value.code == "no_previous_prompts"
    prompts.add("mine", GOOD)
    prompts.split({"mine": 1})
    prompts.split({"mine": 1, BUNDLED: 3}, "principal")
    assert prompts.choice.shares == {"mine": 0.25, BUNDLED: 0.75}
    again = Prompts(tmp_path)
    assert again.choice == prompts.choice
    assert again.roll_back().shares == {"mine": 1.0}
    assert again.roll_back().shares == {BUNDLED: 1.0}
    for _ in range(KEPT_CHOICES + 5):
        again.split({"mine": 1})
    assert len(json.loads((tmp_path / CHOICES).read_text())["choices"]) == KEPT_CHOICES
    for bad in ({}, {"mine": 0.0}, {"mine": -1.0, BUNDLED: 2.0}, {"mine": float("nan")}, {"mine": float("inf")}):
        with pytest.raises(InvalidRequest):
            again.split(bad)
    with pytest.raises(NotFound):
        again.split({"yours": 1})


def test_shares_hold_and_are_the_same_every_time(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    prompts.add("mine", GOOD)
    prompts.split({BUNDLED: 80, "mine": 20})
    questions = [f"What is number {number}?" for number in range(2000)]
    chosen = [prompts.for_question(question, "me").name for question in questions]
    assert 0.17 < chosen.count("mine") / len(chosen) < 0.23
    again = Prompts(tmp_path)
    assert [again.for_question(f" {q.upper()} ", "you").name for q in questions[:200]] == chosen[:200]
    prompts.split({BUNDLED: 1, "mine": 1}, "principal")
    by_caller = [prompts.for_question("Why?", f"key{number}").name for number in range(400)]
    assert 0.4 < by_caller.count("mine") / 400 < 0.6
    assert prompts.for_question("Who?", "key7").name == by_caller[7]


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{",
        "[]",
        '{"choices": 1}',
        '{"choices": [{"shares": {"gone": 1}}]}',
        '{"choices": [{"shares": {"gone": 1}, "by": "question", "since": 1}]}',
        '{"choices": [{"shares": {"answer-1": "most"}, "by": "question", "since": 1}]}',
        '{"choices": [{"shares": {"answer-1": NaN}, "by": "question", "since": 1}]}',
        '{"choices": [{"shares": ["answer-1"], "by": "question", "since": 1}]}',
        '{"choices": [{"shares": {"answer-1": 1}, "by": ["x"], "since": 1}]}',
    ],
)
def test_a_torn_choice_falls_back_to_the_bundled_prompt(tmp_path: Path, told: str) -> None:
    (tmp_path / CHOICES).write_text(told)
    (tmp_path / "broken.txt").write_text("no prompt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    (tmp_path / f"{BUNDLED}.txt").write_text(GOOD)
    prompts = Prompts(tmp_path)
    assert [prompt.name for prompt in prompts.all()] == [BUNDLED]
    assert prompts.for_question("Why?", "me") == read_bundled()


def test_there_is_a_bound(tmp_path: Path) -> None:
    for number in range(MOST_PROMPTS - 1):
        (tmp_path / f"p{number}.txt").write_text(GOOD)
    prompts = Prompts(tmp_path)
    prompts.add("last", GOOD)
    with pytest.raises(ApplianceError) as refused:
        prompts.add("more", GOOD)
    assert refused.value.code == "too_many_prompts"
