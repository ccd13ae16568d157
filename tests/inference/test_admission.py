"""Who comes next, when nothing is tried, what is kept, and what the generator takes of a host."""

import threading
import time

import numpy as np
import pytest

from appliance.inference.llama.admission import AnswerTime, FairQueue
from appliance.inference.llama.breaker import FAILURES, FIRST_PAUSE_S, Breaker
from appliance.inference.llama.budget import GRAIN, Shape, choose
from appliance.inference.llama.job import Job
from appliance.inference.llama.states import PrefixStates, shared
from appliance.types import GenerationRequest

MIB = 1024**2
SMALL = Shape(trained_context=8192, token_numbers=11_520)  # SmolLM2-135M
LARGE = Shape(trained_context=32_768, token_numbers=262_144)  # of seven billion parameters


def job(principal: str) -> Job:
    request = GenerationRequest((), 1, time.monotonic() + 60, principal=principal)
    return Job(request, threading.Event(), np.zeros(1, np.int32), 1)


def test_principals_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue(10)
    jobs = [job(principal) for principal in "aaabbc"]
    for one in jobs:
        assert queue.add(one) is None
    places = [queue.position(one) for one in jobs]
    taken = [queue.take() for _ in range(len(queue))]
    assert [one.request.principal for one in taken] == list("abcaba")
    assert [taken.index(one) for one in jobs] == places
    assert taken.index(jobs[0]) < taken.index(jobs[1]) < taken.index(jobs[2])
    assert len(queue) == 0


def test_a_full_queue_refuses_who_has_much_and_not_who_has_little() -> None:
    queue = FairQueue(3)
    first = [job("greedy") for _ in range(3)]
    for one in first:
        queue.add(one)
    more, modest, second = job("greedy"), job("modest"), job("modest")
    assert queue.add(more) is more
    assert queue.add(modest) is first[2]  # the last of the principal that holds most
    assert queue.add(second) is second  # two against one: nobody gives up a place
    assert len(queue) == 3
    assert queue.position(modest) == 1


def test_who_leaves_is_no_longer_counted() -> None:
    queue = FairQueue(5)
    jobs = [job("a"), job("a"), job("b")]
    for one in jobs:
        queue.add(one)
    assert queue.remove(jobs[0])
    assert not queue.remove(jobs[0])
    assert queue.position(jobs[0]) == -1
    assert [queue.position(one) for one in jobs[1:]] == [0, 1]
    assert queue.clear() == jobs[1:]
    assert len(queue) == 0


def test_the_breaker_opens_after_failures_in_a_row_and_longer_each_time() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.worked()
    for _ in range(FAILURES - 1):
        breaker.failed()
        assert breaker.wait_s() == 0
    breaker.failed()
    assert breaker.wait_s() == FIRST_PAUSE_S
    now[0] = FIRST_PAUSE_S
    assert breaker.wait_s() == 0  # a trial
    breaker.failed()
    assert breaker.wait_s() == 2 * FIRST_PAUSE_S
    breaker.worked()
    assert breaker.wait_s() == 0


def test_a_turn_comes_when_a_slot_is_free() -> None:
    time_of = AnswerTime()
    assert time_of.until_turn_s(ahead=5, at_work=4, slots=4) == 0  # nothing is known yet
    time_of.took(8.0, at_work=4)
    assert time_of.until_turn_s(ahead=0, at_work=3, slots=4) == 0
    assert time_of.until_turn_s(ahead=1, at_work=2, slots=4) == 0
    assert time_of.until_turn_s(ahead=0, at_work=4, slots=4) == 2
    assert time_of.until_turn_s(ahead=7, at_work=4, slots=4) == 16
    time_of.took(3.0, at_work=1)
    assert time_of.until_turn_s(ahead=3, at_work=4, slots=4) == pytest.approx(4 * 2.2)


def test_prefixes_are_exact_and_never_the_whole_prompt() -> None:
    tokens = np.arange(3 * GRAIN, dtype=np.int32)
    assert shared(tokens, tokens) == 2 * GRAIN
    assert shared(tokens, np.append(tokens, 7).astype(np.int32)) == 3 * GRAIN
    other = tokens.copy()
    other[GRAIN + 5] = -1
    assert shared(tokens, other) == GRAIN
    other[0] = -1
    assert shared(tokens, other) == 0


def test_behind_the_last_grain_tokens_are_shared_by_prompts_with_as_many_grains() -> None:
    first = np.arange(2 * GRAIN + 30, dtype=np.int32)
    asked = np.append(first[:-9], np.full(20, -1)).astype(np.int32)
    assert shared(first, asked) == len(first) - 9
    assert shared(first, first) == len(first) - 1
    longer = np.append(first, np.full(GRAIN, -1)).astype(np.int32)
    assert shared(first, longer) == shared(longer, first) == 2 * GRAIN


def test_states_stay_within_their_bytes_and_the_least_used_goes_first() -> None:
    states = PrefixStates(100)
    tokens = [np.full(GRAIN, number, np.int32) for number in range(4)]
    data = np.zeros(40, np.uint8)
    for number in range(2):
        assert states.lacks(tokens[number], 40)
        states.keep(tokens[number], data)
    assert not states.lacks(tokens[0], 40)
    assert not states.lacks(tokens[3], 101)
    assert states.best(np.append(tokens[0], 9).astype(np.int32))[0] == GRAIN  # used, so the other one goes
    states.keep(tokens[2], data)
    assert (len(states), states.bytes) == (2, 80)
    assert states.best(np.append(tokens[1], 9).astype(np.int32)) == (0, None)
    longer = np.append(tokens[2], tokens[3]).astype(np.int32)
    states.keep(longer, data)  # in place of its own beginning
    assert len(states) == 2
    assert not states.lacks(tokens[2], 40)


def test_states_of_one_passage_are_kept_once_whatever_was_asked() -> None:
    states = PrefixStates(1000)
    passage = np.arange(GRAIN + 10, dtype=np.int32)
    first, second = (np.append(passage, np.full(5, -number)).astype(np.int32) for number in (1, 2))
    states.keep(first, np.zeros(40, np.uint8))
    assert states.best(second)[0] == len(passage)
    assert not states.lacks(second, 40)


@pytest.mark.parametrize(
    ("shape", "threads", "memory", "slots", "context", "kv_type"),
    [
        (SMALL, 2, 3 * 1024 * MIB, 8, 2048, "f16"),
        (SMALL, 1, 3 * 1024 * MIB, 4, 2048, "f16"),
        (SMALL, 64, 32 * 1024 * MIB, 16, 2048, "f16"),
        (SMALL, 2, 500 * MIB, 8, 2048, "q8_0"),
        (SMALL, 2, 250 * MIB, 5, 2048, "q8_0"),
        (LARGE, 2, 3 * 1024 * MIB, 2, 2048, "q8_0"),
        (LARGE, 2, 64 * MIB, 1, 2048, "q8_0"),
    ],
)
def test_one_budget(shape: Shape, threads: int, memory: int, slots: int, context: int, kv_type: str) -> None:
    budget = choose(shape, threads=threads, context_tokens=2048, slots=0, memory_bytes=memory)
    assert (budget.threads, budget.slots, budget.context_tokens, budget.kv_type) == (threads, slots, context, kv_type)
    assert budget.cells == context
    assert budget.slots == 1 or budget.kv_bytes <= memory // 2
    assert budget.state_bytes + budget.kv_bytes <= max(memory, budget.kv_bytes)


def test_a_model_that_knows_less_gets_less() -> None:
    budget = choose(Shape(512, 11_520), threads=1, context_tokens=2048, slots=2, memory_bytes=1024 * MIB)
    assert (budget.slots, budget.context_tokens, budget.cells) == (2, 512, 512)
    assert "2 answers at once" in str(budget)
