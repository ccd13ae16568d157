"""Answers that one sentence does not hold: the line to type beside it, the words of its heading, the second part."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.answer import Answering, answer
from appliance.evidence.question import Wanted, offers, parts, read_question
from appliance.evidence.rank import FEATURES, rank_sentences, sentences_of
from appliance.search import search
from appliance.types import Answer, Embedder, Query
from bench.corpus import COLLECTION, Corpus, Text, ingested
from tests.answer.conftest import settings_for

KILN = """Firing schedule

The kiln keeps the last schedule in its memory, and loads it whenever the lid is closed, so that it overrides what
the dial says. In order to stop the loading of the last schedule, add

    set dial:no_last_schedule = 1

to the file of the kiln.

A kiln that was started by hand goes on firing until it is told to end with:

    kilnctl --quench all

You may wish to add this to the checklist for closing the workshop.

The glaze in the second cupboard is for stoneware alone and is mixed with rain water."""
GREENHOUSE = """Greenhouse handbook

Permissions

Gardeners open the east door. The west door is opened by nobody but the head gardener.

Watering

The tank holds 900 litres. It is filled from the roof, and the valve behind the boiler lets it run dry in winter."""


@pytest.fixture(scope="module")
def handbooks(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = settings_for(Path(tmp_path_factory.mktemp("beside")))
    texts = (Text("kiln.md", "Kiln", KILN), Text("greenhouse.md", "Greenhouse", GREENHOUSE))
    with ingested(texts, embedder, settings, label="handbooks") as opened:
        yield opened


def asked(corpus: Corpus, text: str) -> Answer:
    query = Query(text, COLLECTION)
    answering = Answering(corpus.store, corpus.embedder, None, -1.0, 160)
    found = search(query, corpus.served)
    return answer(query, found, answering, deadline=time.monotonic() + 30, cancel=threading.Event())


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("The last schedule overrides what the dial says; which variable stops it being loaded?", "no_last_schedule"),
        ("What command should go in the checklist for closing the workshop?", "kilnctl --quench all"),
    ],
)
def test_the_line_to_type_comes_with_the_sentence_that_leads_to_it(handbooks: Corpus, question: str, held: str) -> None:
    answered = asked(handbooks, question)
    assert held in answered.text
    for claim in answered.claims:
        for place in claim.citations:
            assert handbooks.store.documents.get(place.document_id).text[place.start : place.end] == place.quote


def test_a_question_for_something_else_gets_no_code_beside_its_sentence(handbooks: Corpus) -> None:
    assert asked(handbooks, "Who started the kiln that goes on firing?").text.count("--quench") <= 1
    assert "kilnctl" not in asked(handbooks, "What is the glaze in the second cupboard for?").text


def test_each_part_of_a_question_is_answered(handbooks: Corpus) -> None:
    text = asked(handbooks, "How much does the tank hold, and where is it filled from?").text
    assert "900 litres" in text
    assert "roof" in text


def test_a_short_part_is_one() -> None:
    assert parts("Which ports and which permissions does the kiln need?") == [
        "Which ports",
        "which permissions does the kiln need?",
    ]


def test_a_part_keeps_the_words_of_the_whole(handbooks: Corpus) -> None:
    whole = read_question(Query("How is the kiln stopped, and where is it stored?", COLLECTION), handbooks.store)
    part = read_question(Query("where is it stored?", COLLECTION), handbooks.store).within(whole)
    assert part.weights["kiln"] > 0
    assert sum(part.weights.values()) == pytest.approx(1.0)
    assert max(part.weights, key=lambda word: part.weights[word]) == "stor"


@pytest.mark.parametrize(
    ("sentence", "has_code"),
    [
        ("'ncompress' is now there.", True),
        ("Run it with --kill and wait.", True),
        ("Set LESSCHARSET to the name of the set.", True),
        ("The option apple:badmap swaps them.", True),
        ("-- Ada Lovelace <ada@example.org>, Mon, 23 Jan 2017 22:56:08", False),
        ("It will override /etc/kiln/dial.d then.", False),
        ("Nothing of the kind is said here.", False),
    ],
)
def test_what_counts_as_something_to_type(handbooks: Corpus, sentence: str, has_code: bool) -> None:
    query = Query("Which variable do I set in /etc/kiln/dial to stop it?", COLLECTION)
    question = read_question(query, handbooks.store)
    assert question.wanted is Wanted.CODE
    assert offers(sentence, question) is has_code


def test_a_heading_speaks_for_all_sentences_under_it(handbooks: Corpus) -> None:
    query = Query("Which permissions are there?", COLLECTION)
    found = search(query, handbooks.served)
    question = read_question(query, handbooks.store)
    ranked = rank_sentences(question, found.query_vector, sentences_of(found.hits, handbooks.store))
    before = {item.sentence.text: item.features[FEATURES.index("words_before")] for item in ranked}
    assert before["The west door is opened by nobody but the head gardener."] > 0.5
    assert before["The tank holds 900 litres."] == 0
