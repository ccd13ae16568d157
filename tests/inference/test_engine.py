"""Many requests at once on the real small model: the same texts, shared prefixes, and every slot free afterwards."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Gauge

from appliance.config import load_settings
from appliance.errors import InvalidRequest, ModelError, Overloaded
from appliance.inference.llama import LlamaGenerator
from appliance.inference.llama.budget import GRAIN
from appliance.inference.llama.context import NativeContext
from appliance.telemetry.metrics import GENERATOR_HELD, GENERATOR_REQUESTS
from appliance.types import Generated, Waiting
from bench.generation import prompt, taken
from bench.slots import same_text
from tests.inference.engines import NEVER, PASSAGES, SHA256, about, all_free, ask, engine_of, soon, together

Open = Callable[..., LlamaGenerator]


@pytest.fixture
def opened(bundled: Path) -> Iterator[Open]:
    generators: list[LlamaGenerator] = []

    def make(**more: int) -> LlamaGenerator:
        settings: dict[str, Any] = {"threads": 1, "context_tokens": 1024, "queue_limit": 100, "slots": 4} | more
        gguf = bundled / "smollm2-135m-instruct.q8_0.gguf"
        generators.append(LlamaGenerator.open(gguf, sha256=SHA256, **settings))
        return generators[-1]

    yield make
    for generator in generators:
        generator.close()


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def gauge(of: Gauge) -> float:
    return next(iter(of.collect())).samples[0].value


@pytest.mark.slow
def test_what_it_holds_is_told(opened: Open) -> None:
    generator = opened()
    seen: list[tuple[float, float]] = []
    generator.generate(about(1, 8), NEVER, lambda _: seen.append((gauge(GENERATOR_REQUESTS), gauge(GENERATOR_HELD))))
    assert seen[0][0] == 1
    assert max(held for _, held in seen) > 2 * GRAIN


@pytest.mark.slow
def test_a_second_question_over_the_same_passages_reads_its_own_words_alone(opened: Open) -> None:
    generator = opened()
    generator.generate(ask(f"{PASSAGES}\n\nQuestion: what does the pump do?", 1), NEVER)
    before = engine_of(generator).prefilled
    fresh = opened()
    asked = ask(f"{PASSAGES}\n\nQuestion: which valve closes first?", 12)
    second = generator.generate(asked, NEVER)
    assert engine_of(generator).prefilled - before < GRAIN // 2
    assert fresh.generate(asked, NEVER) == second


def written(outcomes: list[Generated | Exception]) -> list[str]:
    return [outcome.text if isinstance(outcome, Generated) else repr(outcome) for outcome in outcomes]


@pytest.mark.slow
def test_together_the_answers_are_those_of_each_alone_and_the_passages_are_read_once(opened: Open) -> None:
    alone = opened()
    requests = [about(pump) for pump in (1, 2, 3)]
    texts = [alone.generate(request, NEVER).text for request in requests]
    at_once = opened()
    outcomes = together(at_once, requests)
    assert written(outcomes) == texts
    assert len(set(texts)) > 1
    prompt = max(one.usage.prompt_tokens for one in outcomes if isinstance(one, Generated))
    assert prompt > 2 * GRAIN
    assert engine_of(at_once).prefilled <= prompt + 2 * GRAIN  # and the others' own questions
    assert engine_of(alone).prefilled <= prompt + 2 * GRAIN  # by the states that were kept
    assert all_free(at_once)
    assert soon(lambda: gauge(GENERATOR_REQUESTS) == gauge(GENERATOR_HELD) == 0)  # told after the answers


@pytest.mark.slow
def test_an_answer_behind_many_tokens_does_not_depend_on_who_else_asks(bundled: Path, tmp_path: Path) -> None:
    settings = load_settings({"data_dir": tmp_path}).settings
    prompts = [prompt(passage, 0) for passage in taken(8)]
    assert same_text(bundled / "smollm2-135m-instruct.q8_0.gguf", settings, prompts, threads=2) == 1


@pytest.mark.slow
def test_a_kept_prefix_changes_nothing(opened: Open) -> None:
    generator = opened()
    first = generator.generate(about(5, 12), NEVER)
    computed = engine_of(generator).prefilled
    assert generator.generate(about(5, 12), NEVER) == first
    assert engine_of(generator).prefilled - computed <= GRAIN


@pytest.mark.slow
def test_kept_prefixes_stay_within_their_bytes(opened: Open) -> None:
    generator = opened(context_tokens=512, slots=1, memory_bytes=33 * 1024**2)
    states = generator.budget.state_bytes
    assert 0 < states < 30 * 1024**2
    for number in range(6):
        generator.generate(ask(f"{number} begins another prompt. " * 50, 1), NEVER)
        assert engine_of(generator).states.bytes <= states
    assert 0 < len(engine_of(generator).states) < 6


def leaves(generator: LlamaGenerator, text: str, *, after_pieces: int) -> Generated:
    """A request whose caller leaves after so many pieces, or, with 0, while the prompt is read."""
    cancel = threading.Event()
    seen: list[str] = []

    def on_text(piece: str) -> None:
        seen.append(piece)
        if len(seen) == after_pieces:
            cancel.set()

    if after_pieces == 0:
        threading.Timer(0.3, cancel.set).start()
    return generator.generate(ask(text, 300), cancel, on_text)


@pytest.mark.slow
@pytest.mark.parametrize("after_pieces", [0, 3])
def test_a_caller_that_leaves_frees_the_slot(opened: Open, after_pieces: int) -> None:
    generator = opened(context_tokens=2048)
    generator.generate(ask("Say yes.", 1), NEVER)
    words = " ".join(random.Random(2).choices(["pump", "valve", "boiler", "gauge", "pipe", "meter", "crane"], k=1500))
    result = leaves(generator, words if after_pieces == 0 else "Tell a long story.", after_pieces=after_pieces)
    assert result.finish_reason == "cancelled"
    assert result.usage.completion_tokens <= 30 * after_pieces
    assert after_pieces or result.usage.prompt_tokens < 1500  # tokens that were read, not all
    assert all_free(generator)


@pytest.mark.slow
def test_a_batch_under_way_is_broken_off_and_begins_anew(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = opened()
    expected = generator.generate(about(2, 12), NEVER)
    fresh = opened()
    fresh.generate(ask("Say yes.", 1), NEVER)
    statuses: list[int] = []
    run = NativeContext._run

    def interrupted(self: NativeContext) -> int:
        if len(statuses) % 3 == 0:
            self.abort()  # as a caller does who has waited long enough
        statuses.append(run(self))
        self.allow()
        return statuses[-1]

    monkeypatch.setattr(NativeContext, "_run", interrupted)
    assert fresh.generate(about(2, 12), NEVER) == expected
    assert statuses.count(2) >= 4
    assert all_free(fresh)


@pytest.mark.slow
def test_a_deadline_in_the_middle_of_the_others(opened: Open) -> None:
    generator = opened()
    generator.generate(ask("Say yes.", 1), NEVER)
    outcomes = together(generator, [ask("Tell a long story.", 900, seconds=0.6), about(1), about(2)])
    reasons = [one.finish_reason if isinstance(one, Generated) else repr(one) for one in outcomes]
    assert reasons[0] == "deadline"
    assert set(reasons[1:]) <= {"stop", "length"}
    assert all_free(generator)


@pytest.mark.slow
def test_a_long_prompt_is_refused_and_the_others_go_on(opened: Open) -> None:
    generator = opened()
    outcomes = together(generator, [about(1), ask("pump " * 2000), about(2)])
    assert isinstance(outcomes[1], InvalidRequest)
    assert outcomes[1].code == "prompt_too_long"
    assert all(isinstance(outcomes[index], Generated) for index in (0, 2))


@pytest.mark.slow
def test_principals_take_turns(opened: Open) -> None:
    generator = opened(slots=1)
    running, order = threading.Event(), list[str]()
    first = threading.Thread(
        target=generator.generate, args=(ask("Tell a story.", 80, principal="a"), NEVER, lambda _: running.set())
    )
    first.start()
    assert running.wait(60)

    def send(principal: str) -> None:
        generator.generate(ask("Say yes.", 1, principal=principal), NEVER)
        order.append(principal)

    threads = [threading.Thread(target=send, args=(principal,)) for principal in "aaaab"]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in [first, *threads]:
        thread.join(100)
    assert "b" in order[:2]


@pytest.mark.slow
def test_who_waits_is_told_the_place(opened: Open) -> None:
    generator = opened(slots=1)
    running, leave, told = threading.Event(), threading.Event(), list[Waiting]()
    first = threading.Thread(target=generator.generate, args=(ask("Tell.", 900), leave, lambda _: running.set()))
    first.start()
    assert running.wait(60)
    second = threading.Thread(target=generator.generate, args=(ask("Say yes.", 1, on_wait=told.append), NEVER))
    second.start()
    time.sleep(0.3)
    leave.set()
    first.join(60)
    second.join(60)
    assert [waiting.position for waiting in told] == [0]


@pytest.mark.slow
def test_failures_in_a_row_open_the_breaker(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = opened()
    with monkeypatch.context() as broken:
        broken.setattr(NativeContext, "_run", lambda self: -3)  # what llama_decode returns when computing fails
        for _ in range(3):
            with pytest.raises(ModelError, match="status -3"):
                generator.generate(ask("Say yes."), NEVER)
        with pytest.raises(Overloaded) as caught:
            generator.generate(ask("Say yes."), NEVER)
    assert caught.value.code == "generator_resting"
    assert caught.value.retry_after_s >= 1
    monkeypatch.setattr(generator._breaker, "_until", 0.0)  # the pause is over
    assert generator.generate(ask("Say yes.", 2), NEVER).text
    assert generator._breaker.wait_s() == 0


@pytest.mark.slow
def test_a_failure_ends_those_at_work_and_the_next_finds_a_model(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = opened()
    expected = generator.generate(about(1), NEVER).text
    with monkeypatch.context() as broken:
        broken.setattr(NativeContext, "_run", lambda self: -1)
        outcomes = together(generator, [about(1), about(2)])
    assert {type(outcome) for outcome in outcomes} <= {ModelError, Generated}
    assert isinstance(outcomes[0], ModelError) or isinstance(outcomes[1], ModelError)
    assert generator.generate(about(1), NEVER).text == expected


def test_closing_ends_all_that_run(opened: Open) -> None:
    generator = opened()
    outcomes: list[list[Generated | Exception]] = []
    requests = [ask(f"Tell story {number}.", 400) for number in range(6)]
    thread = threading.Thread(target=lambda: outcomes.append(together(generator, requests)))
    thread.start()
    assert until(lambda: generator._engine is not None and len(generator._engine.jobs) == 4)
    generator.close()
    thread.join(60)
    kinds = [one.finish_reason if isinstance(one, Generated) else type(one).__name__ for one in outcomes[0]]
    assert sorted(kinds) == ["Overloaded"] * 2 + ["cancelled"] * 4


@pytest.mark.slow
def test_a_hundred_requests_leave_everything_free(opened: Open) -> None:
    generator = opened(context_tokens=512)
    chance = random.Random(7)

    def send(number: int) -> None:
        cancel = threading.Event()
        if chance.random() < 0.4:
            threading.Timer(chance.random() * 2, cancel.set).start()
        text = "Pump and valve. " * chance.randrange(1, 60) + f"Question {number}?"
        generator.generate(ask(text, chance.randrange(1, 8), seconds=300, principal=str(number % 3)), cancel)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    assert all_free(generator)
    assert len(generator._queue) == 0
