"""A question that denies something, asked of a text that does not: the evidence is weaker."""

import math

import pytest

from appliance.evidence.question import read_question
from appliance.types import Query
from appliance.words import denies
from bench.corpus import COLLECTION, Corpus, measured


def strength(corpus: Corpus, question: str) -> float:
    return measured(Query(question, COLLECTION), corpus)[1]


def log_odds(strength: float) -> float:
    return math.log(strength / (1 - strength))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Which valve was not replaced?", True),
        ("Why doesn’t it start?", True),
        ("Nobody came", True),
        ("Note the nodal point and the knot", False),
        ("What did the engineer build?", False),
    ],
)
def test_denials_are_words_of_their_own(text: str, told: bool) -> None:
    assert denies(text) is told


def test_a_denial_that_no_sentence_makes_weakens_the_evidence(corpus: Corpus) -> None:
    plain = strength(corpus, "Who built the lighthouse at Cape Arran?")
    denied = strength(corpus, "Who did not build the lighthouse at Cape Arran?")
    assert log_odds(denied) < log_odds(plain) - 2


def test_a_denial_that_the_sentence_makes_does_not(corpus: Corpus) -> None:
    asked = "Since when has the lighthouse not been manned?"
    assert denies(read_question(Query(asked, COLLECTION), corpus.store).text)
    assert strength(corpus, asked) > 0.9
    assert strength(corpus, "What does the warranty not cover?") > 0.5
