"""Questions that wait: which are encoded together, and what those get whose turn it is."""

import threading
from concurrent.futures import Future

import numpy as np
import pytest

from appliance.cache.embeddings import EmbeddingCache
from appliance.cache.expected import AT_ONCE, ENOUGH, LONGEST, MOST, ExpectedQuestions
from appliance.inference import HashEmbedder

MODEL = HashEmbedder()


@pytest.fixture
def expected() -> ExpectedQuestions:
    return ExpectedQuestions()


def number(count: int) -> str:
    return f"question {count:04}"


def encode(expected: ExpectedQuestions) -> list[str]:
    """What a thread that encodes would do with the next batch; the texts of it."""
    batch = expected.batch(0)
    if batch is None:
        return []
    for text, future in zip(batch.texts, batch.vectors, strict=True):
        future.set_result((MODEL.fingerprint, MODEL.embed_query(text)))
    return list(batch.texts)


def test_those_that_came_first_are_encoded_together_by_collection_and_length(expected: ExpectedQuestions) -> None:
    expected.add("default", number(0))
    expected.add("other", number(1))
    expected.add("default", "a question of quite another length than that")
    expected.add("default", number(2))
    expected.add("default", "x" * (LONGEST + 1))
    batches = [encode(expected) for _ in range(4)]
    assert batches == [[number(0), number(2)], [number(1)], ["a question of quite another length than that"], []]


def test_a_vector_is_given_once_and_to_its_own_model_and_collection(expected: ExpectedQuestions) -> None:
    for collection in ("default", "other"):
        expected.add(collection, number(1))
        encode(expected)
    assert expected.vector("default", number(2), MODEL.fingerprint) is None
    assert expected.vector("other", number(1), "another model") is None
    found = expected.vector("default", number(1), MODEL.fingerprint)
    assert found is not None
    assert (found == MODEL.embed_query(number(1))).all()
    assert expected.vector("default", number(1), MODEL.fingerprint) is None


def test_nobody_begins_a_question_that_is_at_work_or_not_asked_any_more(
    expected: ExpectedQuestions,
) -> None:
    for count in range(3):
        expected.add("default", number(count))
    assert expected.vector("default", number(0), MODEL.fingerprint) is None
    expected.discard("default", number(1))
    assert encode(expected) == [number(2)]


def test_who_needs_a_vector_that_is_being_made_waits_for_it(expected: ExpectedQuestions) -> None:
    expected.add("default", number(1))
    batch = expected.batch(0)
    assert batch is not None
    timer = threading.Timer(0.05, lambda: batch.vectors[0].set_result((MODEL.fingerprint, np.ones(3, np.float32))))
    timer.start()
    found = expected.vector("default", number(1), MODEL.fingerprint)
    assert found is not None
    assert found.tolist() == [1, 1, 1]


def test_what_failed_is_left_to_who_asks(expected: ExpectedQuestions) -> None:
    expected.add("default", number(1))
    batch = expected.batch(0)
    assert batch is not None
    batch.vectors[0].set_exception(RuntimeError("no memory"))
    assert expected.vector("default", number(1), MODEL.fingerprint) is None


def test_a_few_are_kept_ready_and_more_are_encoded_in_company(expected: ExpectedQuestions) -> None:
    for count in range(AT_ONCE):
        expected.add("default", number(count))
        encode(expected)
    for count in range(AT_ONCE, AT_ONCE + ENOUGH - 1):
        expected.add("default", number(count))
        assert encode(expected) == []
    expected.add("default", number(999))
    assert encode(expected) == [number(count) for count in range(AT_ONCE, 2 * AT_ONCE)]
    assert encode(expected) == []
    for count in range(AT_ONCE + 1):
        expected.vector("default", number(count), MODEL.fingerprint)
    assert len(encode(expected)) == AT_ONCE  # fewer than that are ready


def test_what_is_remembered_is_bounded(expected: ExpectedQuestions) -> None:
    for count in range(MOST + 10):
        expected.add("default", number(count))
    taken: list[str] = []
    while more := encode(expected):
        taken += more
    assert taken[0] == number(10)
    assert len(expected._waiting) < ENOUGH
    for count in range(MOST):
        expected.add("default", number(1000 + count))
        while encode(expected):
            pass
    assert len(expected._begun) <= MOST


def test_a_batch_is_waited_for_no_longer_than_said_and_till_somebody_comes(expected: ExpectedQuestions) -> None:
    assert expected.batch(0.01) is None
    threading.Timer(0.05, lambda: expected.add("default", number(1))).start()
    batch = expected.batch(30)
    assert batch is not None
    assert batch.texts == [number(1)]
    assert isinstance(batch.vectors[0], Future)


def test_the_cache_takes_what_was_made_ahead_and_keeps_it() -> None:
    cache = EmbeddingCache(1_000_000)
    embedder = cache.over(MODEL, "default")
    cache.expected.add("default", number(1))
    batch = cache.expected.batch(0)
    assert batch is not None
    made = np.arange(MODEL.dimensions, dtype=np.float32)
    batch.vectors[0].set_result((MODEL.fingerprint, made))
    assert cache.known(MODEL.fingerprint, number(1)) is None
    assert (embedder.embed_query(number(1)) == made).all()
    assert cache.known(MODEL.fingerprint, number(1)) is made
    assert embedder.embed_query(number(1)) is made
