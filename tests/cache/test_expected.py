"""Questions that wait are encoded together with the one whose turn it is."""

from collections.abc import Sequence

import numpy as np

from appliance.cache.embeddings import AT_ONCE, EmbeddingCache
from appliance.cache.expected import LONGEST, MOST, ExpectedQuestions
from appliance.inference import HashEmbedder
from appliance.types import Matrix, Vector


class Counting(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[list[str]] = []

    def embed_query(self, text: str) -> Vector:
        self.runs.append([text])
        return super().embed_query(text)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        self.runs.append(list(texts))
        return super().embed_queries(texts)


def test_those_that_wait_are_encoded_with_the_one_that_is_asked() -> None:
    cache, model = EmbeddingCache(1_000_000), Counting()
    for number in range(4):
        cache.expect("default", f"question {number}")
    cache.expect("other", "question 9")
    embedder = cache.over(model, "default")
    found = [embedder.embed_query(f"question {number}") for number in range(4)]
    assert model.runs == [["question 0", "question 3", "question 2", "question 1"]]
    assert all(
        (vector == HashEmbedder().embed_query(f"question {number}")).all() for number, vector in enumerate(found)
    )


def test_no_more_than_a_few_at_once_and_each_by_itself_when_nobody_waits() -> None:
    cache, model = EmbeddingCache(1_000_000), Counting()
    embedder = cache.over(model, "default")
    embedder.embed_query("question alone")
    for number in range(20):
        cache.expect("default", f"question {number:02}")
    embedder.embed_query("question 00")
    assert [len(texts) for texts in model.runs] == [1, AT_ONCE]


def test_a_vector_that_is_known_takes_none_of_them_along() -> None:
    cache, model = EmbeddingCache(1_000_000), Counting()
    embedder = cache.over(model, "default")
    embedder.embed_query("question 1")
    cache.expect("default", "question 2")
    embedder.embed_query("question 1")
    embedder.embed_query("question 3")
    assert model.runs == [["question 1"], ["question 3", "question 2"]]


def test_long_ones_and_ones_of_other_length_are_left_to_themselves() -> None:
    expected = ExpectedQuestions()
    expected.add("default", "x" * (LONGEST + 1))
    expected.add("default", "a short one")
    assert expected.take("default", "a question of quite another length than that", 8) == []
    assert expected.take("default", "a brief one", 8) == ["a short one"]


def test_what_is_expected_is_bounded() -> None:
    expected = ExpectedQuestions()
    for number in range(MOST + 10):
        expected.add("default", f"question {number:04}")
    taken = expected.take("default", "question none", 2 * MOST)
    assert len(taken) == MOST
    assert "question 0009" not in taken


def test_where_nothing_is_kept_a_vector_made_ahead_serves_once() -> None:
    cache, model = EmbeddingCache(0), Counting()
    cache.expect("default", "question 1")
    embedder = cache.over(model, "default")
    for number in (2, 1, 1):
        embedder.embed_query(f"question {number}")
    assert model.runs == [["question 2", "question 1"], ["question 1"]]
    assert np.isfinite(embedder.embed_queries(["a", "b"])).all()


def test_what_is_made_ahead_is_bounded() -> None:
    expected = ExpectedQuestions()
    for number in range(MOST + 1):
        expected.give(str(number), np.ones(3, dtype=np.float32))
    assert expected.given("0") is None
    assert expected.given("1") is not None
    assert expected.given("1") is None
