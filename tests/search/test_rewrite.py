"""Rewriting through the generator: what it adds to a search, and that a search never waits for it or depends on it."""

import threading
import time

import pytest

from appliance.errors import InvalidRequest, ModelError, Overloaded
from appliance.inference import ScriptedGenerator
from appliance.search import Writer, find
from appliance.search.rewrite import ORIGINAL, WORDINGS, joined, wordings
from appliance.search.selfquery import Lexicons
from appliance.types import (
    CancelToken,
    Generated,
    GenerationRequest,
    Generator,
    Query,
    Rewrite,
    SearchResult,
    TokenSink,
    Turn,
)
from bench.corpus import COLLECTION, Corpus

QUESTION = "Which fruit needs light?"
ABOUT_TOMATOES = "Tomatoes want sun and water."


class Failing(ScriptedGenerator):
    """A generator that always raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        raise self._error


def writer(generator: Generator | None, *, seconds: float = 30.0, condenses: bool = False) -> Writer:
    return Writer(generator, time.monotonic() + seconds, threading.Event(), condenses)


def searched(corpus: Corpus, query: Query, lent: Writer) -> SearchResult:
    return find(query, corpus.retrieval, lent, Lexicons(corpus.retrieval.store))


def sources(corpus: Corpus, query: Query, lent: Writer) -> tuple[list[str], str]:
    found = searched(corpus, query, lent)
    return [hit.chunk.source for hit in found.hits], found.notice


@pytest.mark.parametrize("how", [Rewrite.MULTI, Rewrite.HYDE])
def test_what_was_written_is_searched_for_too(corpus: Corpus, how: Rewrite) -> None:
    query = Query(QUESTION, COLLECTION, k=3, rerank=False, rewrite=how)
    lent = writer(ScriptedGenerator({QUESTION: ABOUT_TOMATOES}))
    plain, _ = sources(corpus, Query(QUESTION, COLLECTION, k=8, rerank=False), lent)
    found, notice = sources(corpus, query, lent)
    assert "garden.md" in found
    assert found.index("garden.md") < plain.index("garden.md")
    assert notice == ""
    assert "rewrite" in searched(corpus, query, lent).timings


@pytest.mark.parametrize("how", [Rewrite.MULTI, Rewrite.HYDE])
def test_the_question_itself_weighs_most(corpus: Corpus, how: Rewrite) -> None:
    query = Query("What does ERR_CONNECTION_REFUSED mean?", COLLECTION, k=3, rewrite=how)
    found, _ = sources(corpus, query, writer(ScriptedGenerator(default="1. Tomatoes?\n2. Beans in May?\n3. Soup?")))
    assert found[0] == "errors.md"


@pytest.mark.parametrize(
    ("generator", "seconds", "why"),
    [
        (None, 30, "no generator is set up"),
        (Failing(Overloaded("full")), 30, "the generator is busy"),
        (Failing(ModelError("torn")), 30, "the generator cannot be used"),
        (Failing(InvalidRequest("long", code="prompt_too_long")), 30, "the generator refused it"),
        (ScriptedGenerator(default="many words " * 50), 0.5, "there was no time"),
        (ScriptedGenerator(default="a b c d e f", token_delay_s=0.2), 1.3, "the generator was too slow"),
        (ScriptedGenerator(default="  \n "), 30, "the generator wrote nothing of use"),
    ],
)
def test_without_a_rewriting_the_question_is_searched_as_asked(
    corpus: Corpus, generator: Generator | None, seconds: float, why: str
) -> None:
    plain, _ = sources(corpus, Query(QUESTION, COLLECTION), writer(None))
    query = Query(QUESTION, COLLECTION, rewrite=Rewrite.MULTI)
    found, notice = sources(corpus, query, writer(generator, seconds=seconds))
    assert found == plain
    assert why in notice


def test_a_cancelled_question_stops_the_writing(corpus: Corpus) -> None:
    cancel = threading.Event()
    cancel.set()
    lent = Writer(ScriptedGenerator(default="word " * 100, token_delay_s=0.05), time.monotonic() + 30, cancel)
    start = time.monotonic()
    _, notice = sources(corpus, Query(QUESTION, COLLECTION, rewrite=Rewrite.HYDE), lent)
    assert time.monotonic() - start < 2
    assert notice


def test_the_generator_is_not_asked_unasked(corpus: Corpus) -> None:
    lent = writer(Failing(AssertionError("asked")))
    for how in (None, Rewrite.NONE):
        query = Query("And why?", COLLECTION, rewrite=how, history=(Turn("What is a valve?"),))
        assert searched(corpus, query, lent).condensed_question == "And why? (valve)"


def test_wordings_are_lines_of_their_own() -> None:
    written = (
        "1. How hot is it?\n- How  warm is it?\n\nHOW HOT IS IT?\nHow cold?\n(4) How mild?\nIs it warm?\n" + "x" * 301
    )
    assert wordings(written, "Is it warm?") == ("HOW HOT IS IT?", "How warm is it?", "How cold?")
    assert len(wordings(written, "")) == WORDINGS


def test_joined_rankings_keep_what_the_question_finds_first() -> None:
    original = [(number, 1.0) for number in range(10)]
    others = [[(9, 1.0), (5, 0.5), (77, 0.1)]] * 3
    scores = dict(joined(original, others))
    assert scores[9] > scores[8]
    assert scores[77] < min(scores[number] for number in range(10)) <= max(scores.values()) <= 1.0
    assert joined(original, [original])[0] == (0, 1.0)
    assert joined(original, [[(50, 1.0)]])[0][0] == 0
    assert ORIGINAL > 1


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Why does the valve SKU-A1234-B close in a second?", True),
        ("", False),
        ("Paris and London were founded by Roman emperors.", False),
    ],
)
def test_a_generator_may_condense_and_is_held_to_the_conversation(corpus: Corpus, written: str, kept: bool) -> None:
    history = (Turn("How fast does the valve SKU-A1234-B close?", "In a second."),)
    query = Query("And why?", COLLECTION, history=history)
    told = searched(corpus, query, writer(ScriptedGenerator(default=written), condenses=True)).condensed_question
    assert (told == written) is kept
    assert "SKU-A1234-B" in told
    failing = writer(Failing(Overloaded("full")), condenses=True)
    assert searched(corpus, query, failing).condensed_question.startswith("And why? (")


def test_identifiers_are_kept_by_a_condensing_generator(corpus: Corpus) -> None:
    query = Query("And SKU-B77?", COLLECTION, history=(Turn("How fast does the valve close?"),))
    lent = writer(ScriptedGenerator(default="How fast does the valve close?"), condenses=True)
    assert "SKU-B77" in searched(corpus, query, lent).condensed_question
