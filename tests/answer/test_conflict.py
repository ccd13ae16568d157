"""Documents that contradict each other: both sides are shown, and told as a conflict."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.answer import Answering, answer
from appliance.inference import ScriptedGenerator
from appliance.search import search
from appliance.types import AbstainReason, Answer, Claim, Embedder, Mode, Query
from bench.corpus import COLLECTION, Corpus, Text, ingested
from tests.answer.conftest import ABSTAIN_BELOW, settings_for
from tests.answer.test_extract import assert_places

TEXTS = (
    Text("atlas.txt", "Atlas", "The village of Torvik lies in Harlan County. It has 412 inhabitants."),
    Text("rumour.txt", "Rumour", "Contrary to belief, the village of Torvik lies in Brennan County, not in Harlan."),
    Text("ferry.txt", "Ferry", "The ferry to Torvik was opened on 4 May 1931. It carries twelve cars."),
    Text("chronicle.txt", "Chronicle", "In 1931 the ferry to Torvik was opened by the mayor, on 4 May."),
    Text("guide.txt", "Guide", "The harbour master of Torvik is Ada Lindqvist. She lives at the quay."),
    Text("letter.txt", "Letter", "The harbour master of Torvik is Oskar Brandt, who came from the south."),
    Text("yes.txt", "Rules", "Dogs are allowed on the beach of Torvik."),
    Text("no.txt", "Old rules", "Dogs are not allowed on the beach of Torvik."),
    Text(
        "same.txt", "Port", "The lighthouse of Torvik is 30 metres high. An older plan says that it is 28 metres high."
    ),
)


@pytest.fixture(scope="module")
def village(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with ingested(TEXTS, embedder, settings_for(Path(tmp_path_factory.mktemp("data"))), label="village") as opened:
        yield opened


def ask(village: Corpus, text: str, generated: str = "", told: list[Claim] | None = None) -> Answer:
    query = Query(text, COLLECTION, mode=Mode.GENERATIVE if generated else Mode.EXTRACTIVE)
    generator = ScriptedGenerator(default=generated) if generated else None
    answering = Answering(village.store, village.embedder, generator, ABSTAIN_BELOW, 60)
    found = search(query, village.served)
    deadline = time.monotonic() + 30
    on_claim = told.append if told is not None else None
    return answer(query, found, answering, deadline=deadline, cancel=threading.Event(), on_claim=on_claim)


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        ("In which county does the village of Torvik lie?", "Harlan County", "Brennan County"),
        ("Who is the harbour master of Torvik?", "Ada Lindqvist", "Oskar Brandt"),
        ("Are dogs allowed on the beach of Torvik?", "are allowed", "are not allowed"),
    ],
)
def test_both_sides_are_shown_with_their_places(village: Corpus, question: str, one: str, other: str) -> None:
    answered = ask(village, question)
    assert answered.reason is AbstainReason.CONFLICTING_PASSAGES
    assert not answered.abstained
    assert "do not agree" in answered.notice
    assert one in answered.text
    assert other in answered.text
    assert len({citation.source for claim in answered.claims for citation in claim.citations}) > 1
    assert_places(answered, village)


@pytest.mark.parametrize(
    "question",
    [
        "When was the ferry to Torvik opened?",  # two documents say the same
        "How many inhabitants has the village of Torvik?",  # one document says it
        "How high is the lighthouse of Torvik?",  # one document says two things: its own business, shown as it is
        "Why does the harbour master of Torvik live at the quay?",
    ],
)
def test_documents_that_agree_are_no_conflict(village: Corpus, question: str) -> None:
    answered = ask(village, question)
    assert answered.reason is not AbstainReason.CONFLICTING_PASSAGES
    assert "do not agree" not in answered.notice


def test_a_generated_answer_that_takes_a_side_is_given_the_other(village: Corpus) -> None:
    told: list[Claim] = []
    answered = ask(village, "Who is the harbour master of Torvik?", "The harbour master is Oskar Brandt.", told)
    assert answered.mode is Mode.GENERATIVE
    assert answered.reason is AbstainReason.CONFLICTING_PASSAGES
    assert [claim.text for claim in answered.claims] == [
        "The harbour master is Oskar Brandt.",
        "The harbour master of Torvik is Ada Lindqvist.",
    ]
    assert told == list(answered.claims)
    assert_places(answered, village)
