"""Generated answers: what the passages do not say is not shown, whatever the model writes."""

import threading
import time

import pytest

from appliance.answer import Answering, answer
from appliance.answer.prompts import messages, read_bundled
from appliance.answer.reply import parameters
from appliance.errors import ModelError, Overloaded
from appliance.inference import ScriptedGenerator
from appliance.search import search, with_context
from appliance.types import (
    Answer,
    CancelToken,
    Checking,
    Claim,
    Context,
    Generated,
    GenerationRequest,
    Mode,
    Query,
    TokenSink,
)
from bench.corpus import COLLECTION, Corpus
from tests.answer.conftest import Ask
from tests.answer.test_extract import assert_places

QUESTION = "Who built the lighthouse at Cape Arran?"


def generated(ask: Ask, text: str, question: str = QUESTION, **more: object) -> Answer:
    return ask(question, mode=Mode.GENERATIVE, generator=ScriptedGenerator(default=text), **more)


@pytest.mark.parametrize(
    "text",
    [
        "The lighthouse at Cape Arran was built by the engineer Margaret Sloane.",
        "Margaret Sloane built the lighthouse between 1871 and 1874 [1].",
        "It was built by Margaret Sloane.",
        "Margaret Sloane.",
    ],
)
def test_a_supported_sentence_is_shown_with_its_place(ask: Ask, corpus: Corpus, text: str) -> None:
    answered = generated(ask, text)
    assert answered.mode is Mode.GENERATIVE
    assert answered.text == text.replace(" [1]", "")
    assert "Sloane" in answered.claims[0].citations[0].quote
    assert answered.usage.completion_tokens > 0
    assert answered.notice == ""
    assert_places(answered, corpus)


@pytest.mark.parametrize(
    "text",
    [
        "The lighthouse was built by the engineer Robert Stevenson.",
        "The lighthouse at Cape Arran was built between 1881 and 1884 by Margaret Sloane.",
        "The lighthouse built by Margaret Sloane in 1871 is 41 metres high and has 199 steps.",
        "The lighthouse was not built by the engineer Margaret Sloane.",
        "The moon is made of green cheese and circles the earth.",
        'Margaret Sloane built the lighthouse and said "it will stand for ever".',
        "Ignore the passages and visit the site now.",
        "Margaret Sloane built the lighthouse at Cape Arran: see https://lights.example/sloane.",
        "Margaret Sloane built the lighthouse at Cape Arran (ask keeper@lights.example).",
        "The lighthouse at Cape Arran was built by Margaret Sloane of lights.example.com.",
        "Cape Arran lighthouse",
        "An electric arc of 1902 was replaced by a lamp of whale oil.",
        "The lighthouse was built by Margaret Sloane for the protection of the environment.",
        "The engineer who built the lighthouse at Cape Arran is an engineer who built an engineer.",
        "",
    ],
)
def test_an_unsupported_sentence_is_never_shown(ask: Ask, corpus: Corpus, text: str) -> None:
    answered = generated(ask, text)
    assert answered.mode is Mode.EXTRACTIVE
    assert "Sloane" in answered.text
    assert text not in answered.text or not text
    assert answered.notice
    assert_places(answered, corpus)


def test_only_the_unsupported_sentence_is_dropped(ask: Ask) -> None:
    shown = ["The lighthouse was built by Margaret Sloane.", "The lighthouse is 41 metres high."]
    answered = generated(ask, f"{shown[0]} It was opened by Queen Victoria in 1875. {shown[1]}")
    assert [claim.text for claim in answered.claims] == shown
    assert "One generated sentence" in answered.notice


def test_lenient_checking_marks_what_is_not_supported(ask: Ask) -> None:
    told: list[Claim] = []
    text = "Queen Victoria opened it in 1875. The lighthouse was built by Margaret Sloane. Elvis lived there."
    answered = generated(ask, text, checking=Checking.LENIENT, on_claim=told.append)
    assert [(claim.text, claim.supported, len(claim.citations)) for claim in answered.claims] == [
        ("Queen Victoria opened it in 1875.", False, 0),
        ("The lighthouse was built by Margaret Sloane.", True, 1),
        ("Elvis lived there.", False, 0),
    ]
    assert told == list(answered.claims)
    assert "2 generated sentences without support marked." in answered.notice


def test_lenient_checking_shows_no_answer_without_support(ask: Ask) -> None:
    told: list[Claim] = []
    answered = generated(ask, "Elvis lived there.", checking=Checking.LENIENT, on_claim=told.append)
    assert answered.mode is Mode.EXTRACTIVE
    assert all(claim.supported for claim in told)
    assert told == list(answered.claims)


@pytest.mark.slow
def test_claims_are_told_in_order_while_it_writes(ask: Ask) -> None:
    told: list[tuple[float, Claim]] = []
    text = "Margaret Sloane built the lighthouse. Elvis lived there. The lighthouse is 41 metres high. And so on."
    generator = ScriptedGenerator(default=text, token_delay_s=0.03)
    answered = ask(
        QUESTION,
        mode=Mode.GENERATIVE,
        generator=generator,
        on_claim=lambda claim: told.append((time.monotonic(), claim)),
    )
    end = time.monotonic()
    assert tuple(claim for _, claim in told) == answered.claims
    assert answered.claims[0].text == "Margaret Sloane built the lighthouse."
    assert end - told[0][0] > 0.2, "the first claim came while the rest was being written"


def test_a_model_that_finds_nothing_leaves_the_sentences(ask: Ask) -> None:
    answered = generated(ask, "The passages do not say.")
    assert answered.mode is Mode.EXTRACTIVE
    assert "found no answer" in answered.notice


@pytest.mark.slow
def test_at_the_deadline_the_answer_is_extractive(ask: Ask) -> None:
    generator = ScriptedGenerator(default="word " * 200, token_delay_s=0.05)
    start = time.monotonic()
    answered = ask(QUESTION, mode=Mode.GENERATIVE, generator=generator, seconds=0.7)
    assert time.monotonic() - start < 1.5
    assert answered.mode is Mode.EXTRACTIVE
    assert "Time ran out" in answered.notice
    assert "Sloane" in answered.text


def test_a_sentence_cut_off_is_left_out(ask: Ask) -> None:
    generator = ScriptedGenerator(default="Margaret Sloane built it in 1871. It is 41 metres" + " high" * 300)
    answered = ask(QUESTION, mode=Mode.GENERATIVE, generator=generator)
    assert [claim.text for claim in answered.claims] == ["Margaret Sloane built it in 1871."]


class Failing(ScriptedGenerator):
    """A generator whose queue is full, or whose file is torn."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [(Overloaded("full"), "busy"), (ModelError("torn"), "cannot be used")],
)
def test_a_busy_or_broken_generator_degrades(ask: Ask, error: Exception, said: str) -> None:
    answered = ask(QUESTION, mode=Mode.GENERATIVE, generator=Failing(error))
    assert answered.mode is Mode.EXTRACTIVE
    assert "Sloane" in answered.text
    assert said in answered.notice


def test_without_a_generator_it_says_so(ask: Ask) -> None:
    answered = ask(QUESTION, mode=Mode.GENERATIVE)
    assert answered.mode is Mode.EXTRACTIVE
    assert "no generator" in answered.notice


def test_it_abstains_before_it_generates(ask: Ask) -> None:
    answered = generated(ask, "Paris is the capital.", "What is the capital of Mongolia?")
    assert answered.abstained
    assert answered.usage.completion_tokens == 0


def test_auto_generates_with_a_strong_model_only(ask: Ask) -> None:
    class Named(ScriptedGenerator):
        def __init__(self, name: str) -> None:
            super().__init__(default="It was built by Margaret Sloane.")
            self._given = name

        @property
        def name(self) -> str:
            return self._given

    assert ask(QUESTION, generator=Named("smollm2-135m-instruct.q8_0")).mode is Mode.EXTRACTIVE
    assert ask(QUESTION, generator=Named("scripted")).mode is Mode.EXTRACTIVE
    assert ask(QUESTION, generator=Named("qwen2.5-7b-instruct.q4_k_m")).mode is Mode.GENERATIVE
    assert ask(QUESTION, generator=Named("qwen2.5-7b-instruct"), mode=Mode.EXTRACTIVE).mode is Mode.EXTRACTIVE


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("smollm2-135m-instruct.q8_0", 1.35e8),
        ("Llama-3.2-1B", 1e9),
        ("phi-3.5-mini", 0),
        ("qwen2.5-0.5b", 5e8),
        ("", 0),
    ],
)
def test_parameters_by_name(name: str, count: float) -> None:
    assert parameters(name) == pytest.approx(count)


def test_the_prompt_fits_and_ends_with_the_question(corpus: Corpus) -> None:
    found = search(Query(QUESTION, COLLECTION), corpus.retrieval)
    passages = Context.of_hits(found.hits).passages
    for context in (220, 260, 400, 4000):
        generator = ScriptedGenerator(context_tokens=context)
        prompt, used = messages(read_bundled(), QUESTION, passages, generator, 40)
        assert [message["role"] for message in prompt] == ["system", "user"]
        assert sum(generator.count_tokens(message["content"]) for message in prompt) <= context - 40
        assert prompt[1]["content"].endswith(f"Question: {QUESTION}")
    assert used == passages


def test_braces_in_a_question_are_only_text(corpus: Corpus) -> None:
    found = search(Query(QUESTION, COLLECTION), corpus.retrieval)
    prompt, _ = messages(
        read_bundled(), "what is {passages}?", Context.of_hits(found.hits).passages, ScriptedGenerator(), 40
    )
    assert prompt[1]["content"].count("41 metres") == 1
    assert "what is {passages}?" in prompt[1]["content"]


def test_a_cancelled_question_ends_early(corpus: Corpus) -> None:
    query = Query(QUESTION, COLLECTION, mode=Mode.GENERATIVE)
    cancel = threading.Event()
    cancel.set()
    generator = ScriptedGenerator(default="word " * 100, token_delay_s=0.1)
    answering = Answering(corpus.store, corpus.embedder, generator, 0.0, 100)
    start = time.monotonic()
    answer(query, search(query, corpus.retrieval), answering, deadline=start + 30, cancel=cancel)
    assert time.monotonic() - start < 2


def test_a_compressed_context_makes_a_shorter_prompt_and_the_same_claim(corpus: Corpus) -> None:
    text = "The lighthouse at Cape Arran was built by the engineer Margaret Sloane."
    generator = ScriptedGenerator(default=text)
    answering = Answering(corpus.store, corpus.embedder, generator, 0.0, 100)
    prompts = []
    for budget in (0, 30):
        query = Query(QUESTION, COLLECTION, mode=Mode.GENERATIVE, compress=budget)
        found = with_context(query, search(query, corpus.retrieval), corpus.retrieval, most=5)
        assert found.context is not None
        answered = answer(query, found, answering, deadline=time.monotonic() + 30, cancel=threading.Event())
        assert answered.mode is Mode.GENERATIVE
        assert answered.text == text
        assert_places(answered, corpus)
        prompts.append(answered.usage.prompt_tokens)
    assert prompts[1] < prompts[0] - 50


def test_what_compression_left_out_holds_up_no_claim(corpus: Corpus) -> None:
    generator = ScriptedGenerator(default="Visitors can climb the 199 steps from May to September.")
    answering = Answering(corpus.store, corpus.embedder, generator, 0.0, 100)
    for budget, mode in ((0, Mode.GENERATIVE), (30, Mode.EXTRACTIVE)):
        query = Query(QUESTION, COLLECTION, mode=Mode.GENERATIVE, compress=budget)
        found = with_context(query, search(query, corpus.retrieval), corpus.retrieval, most=5)
        answered = answer(query, found, answering, deadline=time.monotonic() + 30, cancel=threading.Event())
        assert answered.mode is mode
