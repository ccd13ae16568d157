"""Documents that contradict each other: both sides are shown, and told as a conflict."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.answer import Answering, answer
from appliance.answer.contradict import without_denied
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

CONTRADICTIONS = (
    ("What is the release channel?", "The release channel is Solara.", "The channel is Brightcast."),
    ("How long does the warranty last?", "The warranty lasts five years.", "The warranty of the P40 is three years."),
    ("What colour is the front door?", "The front door is blue.", "The front door is green."),
    ("What is the cover made of?", "The cover is made of steel.", "The cover is made of aluminium."),
    ("Which fuel does the heater use?", "The heater uses diesel.", "The heater uses propane."),
    ("When does the office open?", "The office opens at 8:00.", "The office opens at 9:30."),
    ("When is the deadline?", "The deadline is 3 May 2025.", "The deadline is 10 May 2025."),
    ("When was the mill built?", "The mill was built in 1820.", "The mill was built in 1851."),
    ("Where is the head office?", "The head office is in Lisbon.", "Our head office is located in Porto."),
    (
        "Who manages the design team?",
        "The design team is managed by Ada Lopes.",
        "Jonas Weber manages the design team.",
    ),
    ("What is the maximum load of the lift?", "The maximum load is 400 kg.", "The maximum load of the lift is 630 kg."),
    ("What is the default port?", "The default port is 8080.", "The default port is 9090."),
    ("How many rooms does the inn have?", "The inn has 12 rooms.", "The inn has fifteen rooms."),
    ("How much does an annual pass cost?", "The annual pass costs 40 euros.", "An annual pass costs 55 euros."),
    ("Is smoking allowed in the yard?", "Smoking is allowed in the yard.", "Smoking is not allowed in the yard."),
    ("Does the P40 support Bluetooth?", "The P40 supports Bluetooth.", "The P40 does not support Bluetooth."),
    ("Is the gate blue or green?", "The gate is blue.", "The gate is green."),
    ("Is the meeting on Monday or on Tuesday?", "The meeting is on Monday.", "The meeting is on Tuesday."),
    ("capital of Valdoria", "The capital of Valdoria is Senn.", "The capital of Valdoria is Morvik."),
    ("Where is the key kept?", "The key is kept in the cellar.", "The key is kept in the kitchen."),
    ("Where is the concert?", "The concert is in North Hall.", "The concert is in South Hall."),
    (
        "What county is Marwick in?",
        "Marwick is conveniently located in Selden, a vibrant county known for its heritage.",
        "Known for its quiet lanes, Marwick resides in the acclaimed Orla County.",
    ),
)
OTHER_MATTERS = (
    ("What is the release channel?", "The release channel is Solara.", "The channel is Solara, as before."),
    ("How long does the warranty last?", "The warranty lasts five years.", "The warranty of the P40 is 5 years."),
    ("What colour is the front door?", "The front door is blue.", "The back door is green."),
    ("What is the cover made of?", "The cover is made of steel.", "The cover is made of steel and is painted grey."),
    ("What is the cover made of?", "The cover is made of steel.", "The cover is heavy."),
    ("Which fuel does the heater use?", "The heater uses diesel.", "The stove uses propane."),
    ("When does the office open?", "The office opens at 8:00.", "The office closes at 17:30."),
    ("When is the deadline?", "The deadline is 3 May 2025.", "The deadline is in May 2025."),
    ("When was the mill built?", "The mill was built in 1820.", "The mill was sold in 1851."),
    ("Where is the head office?", "The head office is in Lisbon.", "The warehouse is in Porto."),
    ("Who manages the design team?", "Ada Lopes manages the design team.", "Jonas Weber manages the sales team."),
    ("What is the maximum load of the lift?", "The maximum load is 400 kg.", "The maximum speed of the lift is 2 m/s."),
    ("What is the default port?", "The default port is 8080.", "By default it listens on port 8080."),
    ("How many rooms does the inn have?", "The inn has 12 rooms.", "The inn has 3 kitchens."),
    ("How much does an annual pass cost?", "An annual pass costs 40 euros.", "A day ticket costs 5 euros."),
    ("Is smoking allowed in the yard?", "Smoking is allowed in the yard.", "Smoking is not allowed in the hall."),
    ("What is the P40?", "The P40 is a printer.", "The P40 is fast and quiet."),
    ("Is the gate blue or green?", "The gate is blue.", "The fence is green."),
    ("Is the gate blue or green?", "The gate is blue.", "The gate is not green."),
    ("capital of Valdoria", "The capital of Valdoria is Senn.", "The largest city of Valdoria is Morvik."),
    ("Where is the key kept?", "The key is kept in the cellar.", "The key is kept by the warden."),
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


@pytest.mark.parametrize(
    ("question", "one", "other", "told"),
    [(*pair, True) for pair in CONTRADICTIONS] + [(*pair, False) for pair in OTHER_MATTERS],
)
def test_plain_pairs(question: str, one: str, other: str, told: bool, embedder: Embedder, tmp_path: Path) -> None:
    texts = (Text("one.txt", "", one), Text("other.txt", "", other))
    with ingested(texts, embedder, settings_for(tmp_path), label="pair") as pair:
        answered = ask(pair, question)
    assert (answered.reason is AbstainReason.CONFLICTING_PASSAGES) is told
    assert not told or {citation.source for claim in answered.claims for citation in claim.citations} == {
        "one.txt",
        "other.txt",
    }


@pytest.mark.parametrize("mark", ["", " It is the harbour's."])  # another pattern is used of a text with an apostrophe
@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("The gate is blue, not green, and high.", "The gate is blue, -, and high."),
        ("No longer open; Unlike the inn: formerly a mill.", "-; -: -."),
        ("Nothing is known, notably of another knot.", "Nothing is known, notably of another knot."),
        ("It was mistakenly built rather than bought.", "It was -."),
        ("The pıer lies ınstead of the quay.", "The pıer lies -."),
    ],
)
def test_what_is_denied_is_left_out(text: str, stated: str, mark: str) -> None:
    assert without_denied(text + mark, "-") == stated + mark


def test_what_is_denied_by_a_contraction_is_left_out() -> None:
    assert without_denied("It isn't blue. It ISN’T green, but red.", "-") == "It -. It -, but red."
