"""Full evidence: the bundled reader's opinion counts, and where it cannot be had the answer comes all the same."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.answer import Answering, answer
from appliance.evidence.question import read_question
from appliance.evidence.rank import rank_sentences, sentences_of
from appliance.evidence.reading import read_again
from appliance.inference import ModelRegistry, OnnxReader, open_reader
from appliance.paths import BUNDLED_MODELS
from appliance.search import search
from appliance.types import Answer, EvidenceEffort, PassageReader, Query
from bench.corpus import COLLECTION, Corpus
from tests.answer.conftest import ABSTAIN_BELOW

QUESTION = "Why did the keeper live on the north side?"
FAR = float("inf")

Reading = Callable[..., Answer]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageReader]:
    registry = ModelRegistry(BUNDLED_MODELS, tmp_path_factory.mktemp("added"))
    with contextlib.closing(open_reader(registry, threads=1)) as opened:
        yield opened


@pytest.fixture
def ask_reading(corpus: Corpus) -> Reading:
    def asked(
        text: str, reader: PassageReader | None, *, busy: bool = False, effort: EvidenceEffort = EvidenceEffort.FULL
    ) -> Answer:
        query = Query(text, COLLECTION, evidence=effort)
        answering = Answering(corpus.store, corpus.embedder, None, ABSTAIN_BELOW, 160, reader=reader, busy=lambda: busy)
        found = search(query, corpus.served)
        return answer(query, found, answering, deadline=time.monotonic() + 30, cancel=threading.Event())

    return asked


@pytest.mark.parametrize(
    ("question", "held"),
    [
        (QUESTION, "flooded every winter"),
        ("How often must the seal of the pump be replaced?", "18 months"),
        ("How high is the lighthouse, and who built it?", "Sloane"),
    ],
)
def test_a_full_answer_holds_and_says_that_it_was_read(
    ask_reading: Reading, reader: PassageReader, question: str, held: str
) -> None:
    answered = ask_reading(question, reader)
    assert held in answered.text
    assert "read" in answered.timings
    assert not answered.degraded


def test_a_fast_answer_is_not_read(ask_reading: Reading, reader: PassageReader) -> None:
    assert "read" not in ask_reading(QUESTION, reader, effort=EvidenceEffort.FAST).timings


def test_without_a_reader_or_under_load_the_answer_says_so(ask_reading: Reading, reader: PassageReader) -> None:
    for answered, word in (
        (ask_reading(QUESTION, None), "no reader"),
        (ask_reading(QUESTION, reader, busy=True), "Many questions"),
    ):
        assert "flooded every winter" in answered.text
        assert word in answered.notice
        assert answered.degraded


def test_a_reader_that_cannot_be_used_costs_no_answer(ask_reading: Reading, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    unusable = OnnxReader(broken, BUNDLED_MODELS / "minilm-l6-v2.tokenizer.json", threads=1)
    answered = ask_reading(QUESTION, unusable)
    assert "flooded every winter" in answered.text
    assert "cannot be used" in answered.notice


def test_only_the_passages_of_the_best_sentences_are_read(corpus: Corpus, reader: PassageReader) -> None:
    query = Query(QUESTION, COLLECTION)
    found = search(query, corpus.served)
    question = read_question(query, corpus.store)
    ranked = rank_sentences(question, found.query_vector, sentences_of(found.hits, corpus.store))
    again = read_again(ranked, QUESTION, reader, deadline=FAR, most=1)
    first = ranked[0].sentence.hit.chunk.id
    assert {item.sentence.text for item in again} == {item.sentence.text for item in ranked}
    assert again[0].sentence.hit.chunk.id == first
    order = [item.sentence.text for item in ranked if item.sentence.hit.chunk.id != first]
    assert [item.sentence.text for item in again if item.sentence.hit.chunk.id != first] == order
