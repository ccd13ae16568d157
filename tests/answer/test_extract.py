"""Extractive answers: the right sentence, word for word, at its exact place; and honest refusals."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.answer import Answering, answer
from appliance.answer.cite import LONGEST_QUOTE, trimmed
from appliance.inference import HashEmbedder
from appliance.ingest.chunk import chunk_document
from appliance.search import search
from appliance.types import (
    AbstainReason,
    Answer,
    Comparison,
    EmbeddedChunk,
    Embedder,
    Mode,
    NewDocument,
    Page,
    Passage,
    Query,
    ReadDocument,
)
from appliance.web.keeping import keeps
from bench.corpus import COLLECTION, Corpus, Text, ingested
from tests.answer.conftest import ABSTAIN_BELOW, TEXTS, Ask, settings_for


def assert_places(answered: Answer, corpus: Corpus) -> None:
    """Every citation holds to the character."""
    assert answered.claims
    for claim in answered.claims:
        assert claim.supported
        assert claim.citations
        for place in claim.citations:
            document = corpus.store.documents.get(place.document_id)
            assert document.text[place.start : place.end] == place.quote
            assert (place.source, place.title) == (document.source, document.title)


def assert_exact(answered: Answer, corpus: Corpus) -> None:
    """The same, and the claim says no more than its quote."""
    assert_places(answered, corpus)
    for claim in answered.claims:
        for place in claim.citations:
            assert claim.text == " ".join(place.quote.split())
            assert len(place.quote) <= LONGEST_QUOTE


@pytest.mark.parametrize(
    ("question", "held", "source"),
    [
        ("Who built the lighthouse?", "Sloane", "lighthouse.md"),
        ("How high is the lighthouse at Cape Arran?", "41 metres", "lighthouse.md"),
        ("When was the oil lamp replaced?", "1902", "lighthouse.md"),
        ("Why did the keeper live on the north side?", "flooded every winter", "lighthouse.md"),
        ("In which months can visitors climb the steps?", "May to September", "lighthouse.md"),
        ("How often must the seal of the pump be replaced?", "18 months", "pump.md"),
        ("What does the warranty not cover?", "salt water", "pump.md"),
        ("SKU-A1234", "SKU-A1234", "pump.md"),
        ("How hot must the oven be to bake the bread?", "230 degrees", "bread.md"),
    ],
)
def test_the_answer_is_the_right_sentence(ask: Ask, corpus: Corpus, question: str, held: str, source: str) -> None:
    answered = ask(question)
    assert not answered.abstained
    assert answered.mode is Mode.EXTRACTIVE
    assert held in answered.text
    assert answered.claims[0].citations[0].source == source
    assert len(answered.text) < 450
    assert {hit.chunk.source for hit in answered.hits} == {
        place.source for claim in answered.claims for place in claim.citations
    }
    assert_exact(answered, corpus)


@pytest.mark.parametrize(
    "question",
    [
        "Who won the football world cup in 1990?",
        "What is the capital of Mongolia?",
        "How do I configure a firewall in Linux?",
        "What does the error ERR_7731_TIMEOUT mean?",
        "How many employees does the company have?",
    ],
)
def test_it_says_so_when_the_documents_do_not_hold_the_answer(ask: Ask, question: str) -> None:
    answered = ask(question)
    assert answered.abstained
    assert answered.reason is AbstainReason.WEAK_EVIDENCE
    assert answered.claims == ()
    assert answered.hits, "the nearest passages are shown"
    assert answered.notice


def test_a_sentence_that_points_back_brings_the_one_before(ask: Ask) -> None:
    answered = ask("How high is the lighthouse at Cape Arran?")
    assert "built between 1871 and 1874" in answered.text
    assert len(answered.claims[0].citations) == 1


def test_two_questions_get_two_sentences(ask: Ask, corpus: Corpus) -> None:
    answered = ask("How long must the bread bake, and how often is the sourdough starter fed?")
    assert "45 minutes" in answered.text
    assert "every day" in answered.text
    assert_exact(answered, corpus)


def test_claims_are_told_as_they_stand(ask: Ask) -> None:
    told: list[object] = []
    answered = ask("Who built the lighthouse?", on_claim=told.append)
    assert tuple(told) == answered.claims


def test_filtered_out(ask: Ask) -> None:
    answered = ask("Who built the lighthouse?", filters=Comparison("source", "=", "none.md"))
    assert answered.reason is AbstainReason.FILTERED_OUT
    assert answered.hits == ()


def test_keywords_that_are_nowhere(ask: Ask) -> None:
    assert ask("xyzzy plugh", alpha=0.0).reason is AbstainReason.NO_PASSAGE


def test_empty_collection(tmp_path: Path) -> None:
    with ingested((), HashEmbedder(), settings_for(tmp_path), label="nothing") as empty:
        answered = _answer(empty, "Who built the lighthouse?")
    assert answered.reason is AbstainReason.EMPTY_COLLECTION
    assert "no documents" in answered.notice


def test_a_document_that_changed_since_the_search_is_not_cited(tmp_path: Path, embedder: Embedder) -> None:
    with ingested(TEXTS, embedder, settings_for(tmp_path), label="samples") as corpus:
        query = Query("Who built the lighthouse?", COLLECTION)
        found = search(query, corpus.retrieval)
        for document in corpus.store.documents.list(COLLECTION):
            corpus.store.documents.delete(COLLECTION, [document.id])
        answering = Answering(corpus.store, embedder, None, 0.0, 1)
        answered = answer(query, found, answering, deadline=time.monotonic() + 9, cancel=threading.Event())
    assert answered.abstained
    assert answered.claims == ()


def test_the_page_is_that_of_the_sentence_not_of_its_chunk(tmp_path: Path, embedder: Embedder) -> None:
    first = "The harbour was founded by fishermen from the islands."
    second = "The crane on the east pier lifts 120 tonnes."
    text = f"{first}\n\n{second}"
    pages = (Page(1, 0, len(first) + 2), Page(2, len(first) + 2, len(text)))
    read = ReadDocument("Harbour", "application/pdf", text, pages=pages)
    with ingested((), embedder, settings_for(tmp_path), label="pages") as corpus:
        spans = chunk_document(read, embedder.token_spans)
        vectors = embedder.embed_passages([Passage("Harbour", span.text, span.sentences) for span in spans])
        chunks = tuple(EmbeddedChunk(s, v.vector, v.sentences) for s, v in zip(spans, vectors, strict=True))
        put = corpus.store.documents.put(COLLECTION, [NewDocument("h.pdf", "0" * 64, read, chunks, {})])
        corpus.index.add(put[0].chunk_ids, _stacked(chunks))
        answered = _answer(corpus, "How much can the crane lift?")
        assert len(spans) == 1
        assert [place.page for place in answered.claims[0].citations] == [2]
        assert answered.claims[0].citations[0].quote == second


def test_a_heading_is_never_the_answer_alone(tmp_path: Path, embedder: Embedder) -> None:
    text = "Opening hours of the museum\n\nThe doors open at nine and close at five on every day but Monday."
    settings = settings_for(tmp_path)
    with ingested([Text("m.txt", "Museum", text)], embedder, settings, label="heading") as corpus:
        answered = _answer(corpus, "What are the opening hours of the museum?")
    assert "nine" in answered.text
    assert answered.text != "Opening hours of the museum"


@pytest.mark.parametrize(
    ("text", "question", "held", "not_held"),
    [
        (
            "Some desktops leave the agent running.\n\nTo end the agent when you log out, run this command:\n\n"
            "    gpgconf --kill gpg-agent\n\nThe agent starts again by itself whenever a key is needed.",
            "Which command ends the agent when I log out?",
            ("gpgconf --kill gpg-agent",),
            "starts again",
        ),
        (
            "The crane is checked every year.\n\nBefore lifting, the driver of the crane checks these parts:\n\n"
            "- the hook\n- the rope\n- the brake\n\nThe log is kept for ten years by the owner.",
            "Which parts does the driver of the crane check before lifting?",
            ("the hook", "the rope", "the brake"),
            "ten years",
        ),
        (
            "When does the canteen open?\nAt half past seven, on Fridays at eight.\n\n"
            "Who may bring guests?\nEverybody.",
            "When does the canteen open?",
            ("At half past seven, on Fridays at eight.",),
            "Everybody",
        ),
    ],
)
def test_a_sentence_that_announces_brings_what_follows(
    tmp_path: Path, embedder: Embedder, text: str, question: str, held: tuple[str, ...], not_held: str
) -> None:
    with ingested([Text("a.txt", "Notes", text)], embedder, settings_for(tmp_path), label="announced") as corpus:
        answered = _answer(corpus, question)
        assert_exact(answered, corpus)
    assert all(part in answered.text for part in held), answered.text
    assert not_held not in answered.text


WORDS = st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=700), max_size=200)


@pytest.mark.slow
@given(WORDS, st.dictionaries(st.sampled_from(["a", "b", "zz"]), st.floats(0, 1)))
def test_trimmed_spans_are_short_and_inside(pieces: list[str], weights: dict[str, float]) -> None:
    text = " ".join(pieces)
    start, end = trimmed(text, 0, len(text), weights)
    assert 0 <= start <= end <= len(text)
    assert end - start <= LONGEST_QUOTE
    if len(text) <= LONGEST_QUOTE:
        assert (start, end) == (0, len(text))
    else:
        assert end > start
        assert text[start:end] == text[start:end].strip()
        assert start == 0 or text[start - 1].isspace()


@pytest.mark.parametrize("place", [0, 40, 150, 199])
def test_a_long_span_is_cut_to_where_the_words_stand(place: int) -> None:
    words = ["word"] * 200
    words[place] = "here"
    start, end = trimmed(" ".join(words), 0, 999, {"here": 1.0})
    assert (start, end) == (max(0, (place + 1) * 5 - 600), max(599, place * 5 + 4))
    assert trimmed(" ".join(words), 0, 999, {"word": 1.0}) == (0, 599)


def _answer(corpus: Corpus, text: str) -> Answer:
    query = Query(text, COLLECTION)
    answering = Answering(corpus.store, corpus.embedder, None, ABSTAIN_BELOW, 1)
    found = search(query, corpus.retrieval)
    return answer(query, found, answering, deadline=time.monotonic() + 9, cancel=threading.Event())


def _stacked(chunks: tuple[EmbeddedChunk, ...]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.stack([chunk.vector for chunk in chunks])


@pytest.mark.parametrize("question", ["Who built the lighthouse?", "What do penguins think of opera?"])
def test_what_the_search_left_out_is_told_and_not_kept(corpus: Corpus, question: str) -> None:
    query = Query(question, COLLECTION)
    found = search(query, corpus.retrieval)
    answering = Answering(corpus.store, corpus.embedder, None, ABSTAIN_BELOW, 160)
    for notice in ("", "There was no time to rerank the passages."):
        told = answer(
            query,
            replace(found, notice=notice),
            answering,
            deadline=time.monotonic() + 30,
            cancel=threading.Event(),
        )
        assert told.notice.startswith(notice)
        assert told.degraded == bool(notice)
        assert keeps(told) == (not notice)
