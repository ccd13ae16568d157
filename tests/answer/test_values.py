"""Values that documents give for the same thing, in sentences that do not say all of the question themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.answer.values import Shape, asked_of, likeness, shapes_of, values_in
from appliance.evidence.question import Question, Wanted
from appliance.types import AbstainReason, Embedder
from appliance.words import stem
from bench.corpus import Corpus, Text, ingested
from tests.answer.conftest import settings_for
from tests.answer.test_conflict import ask
from tests.answer.test_extract import assert_places

TEXTS = (
    Text(
        "a.txt", "", "Marwick is a quiet village with a long history. It is part of the county known as Selden County."
    ),
    Text("b.txt", "", "Marwick is a quiet village in the hills. Its charming lanes are part of Orla County's expanse."),
    Text("c.txt", "", "Puffed barley is a popular snack. For a serving of three cups it contains 90 calories."),
    Text("d.txt", "", "Puffed barley is a light snack. A standard bowl of it contains roughly 140 calories."),
    Text("e.txt", "", "The bridge at Hollin was built of oak. The mayor opened it for carts on 3 June 1874."),
    Text(
        "f.txt", "", "The bridge at Hollin was built of oak. The mayor opened it for carts on 3 June 1874, a Wednesday."
    ),
    Text("g.txt", "", "The Kettle glacier is fed by the Onda river. It carries 30 cubic metres a second."),
    Text("h.txt", "", "The Kettle glacier is fed by snow. Some 12 farms lie below it, and 40 barns."),
)


@pytest.fixture(scope="module")
def notes(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with ingested(TEXTS, embedder, settings_for(Path(tmp_path_factory.mktemp("data"))), label="notes") as opened:
        yield opened


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        ("What county is Marwick in?", "Selden County", "Orla County"),
        ("How many calories are in puffed barley?", "90 calories", "140 calories"),
    ],
)
def test_the_subject_may_stand_in_the_sentence_before(notes: Corpus, question: str, one: str, other: str) -> None:
    answered = ask(notes, question)
    assert answered.reason is AbstainReason.CONFLICTING_PASSAGES
    assert one in answered.text
    assert other in answered.text
    assert_places(answered, notes)


@pytest.mark.parametrize(
    "question",
    [
        "When was the bridge at Hollin opened?",  # near duplicates that say the same
        "How much water does the Kettle glacier carry a second?",  # other things are counted in the other document
    ],
)
def test_other_values_of_other_things_are_no_conflict(notes: Corpus, question: str) -> None:
    assert ask(notes, question).reason is not AbstainReason.CONFLICTING_PASSAGES


def read(text: str, wanted: Wanted) -> Question:
    keys = {stem(word) for word in text.rstrip("?").lower().split()} - {"what", "in", "is", "how", "many", "ar"}
    return Question(text, dict.fromkeys(keys, 1 / len(keys)), frozenset(), wanted, ())


def test_values_and_their_places() -> None:
    county = read("What county is Marwick in?", Wanted.WHERE)
    assert asked_of(county) == {"county"}
    assert shapes_of(county) == {Shape.NAME, Shape.WORD}
    names = frozenset((Shape.NAME,))
    [selden] = values_in("It is part of the county known as Selden.", county, names)
    [orla] = values_in("Its lanes are part of Orla County.", county, names)
    [hills] = values_in("It lies in the Hollin hills.", county, names)
    assert selden.keys == {"selden"}
    assert orla.keys == {"orla"}
    assert likeness(selden, orla, asked_of(county)) > likeness(selden, hills, asked_of(county))


def test_a_date_is_one_value_and_a_rank_is_no_amount() -> None:
    when = read("When was it opened?", Wanted.WHEN)
    [date] = values_in("It was opened on 3 June 1874.", when, shapes_of(when))
    assert date.keys == {"3", "june", "1874"}
    assert date.shape is Shape.DATE
    amount = read("How many cars are there?", Wanted.AMOUNT)
    [number] = values_in("In the 17th century it had 1,200 cars.", amount, shapes_of(amount))
    assert number.keys == {"1200"}


def test_what_may_have_several_answers_is_not_compared() -> None:
    assert not shapes_of(read("What is Marwick?", Wanted.OTHER))
    assert not shapes_of(read("Why is it closed?", Wanted.WHY))
