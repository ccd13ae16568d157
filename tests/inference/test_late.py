"""Late interaction: vectors of tokens, what each token of a question weighs, and the reranker at work in a search."""

import time
from pathlib import Path

import numpy as np
import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import DeadlineExceeded
from appliance.inference import HashEmbedder
from appliance.inference.embed import OnnxEmbedder
from appliance.search import LateInteraction
from appliance.search.late import token_weights
from appliance.types import Candidate, Passage, Query, RerankRequest, TokenEmbedder
from tests.inference.test_rerank import QUESTION, TEXTS, opened, put


def request(embedder: OnnxEmbedder, texts: tuple[str, ...] = TEXTS, deadline: float = float("inf")) -> RerankRequest:
    idf = {"changes": 2.0, "filter": 4.0, "pump": 3.0}
    vectors = np.array([made.vector for made in embedder.embed_passages([Passage("", text) for text in texts])])
    candidates = [Candidate("", text, 0.5) for text in texts]
    return RerankRequest(QUESTION, embedder.embed_query(QUESTION), idf, candidates, vectors, deadline)


def test_tokens_have_vectors_and_places_and_a_batch_is_as_each_alone(fp32: OnnxEmbedder) -> None:
    texts = ["the pump", "", "a rather longer text about pumps, valves and their ERR_CONNECTION_REFUSED " * 9]
    made = fp32.embed_tokens(texts)
    assert [texts[0][start:end] for start, end in made[0].spans.tolist()] == ["the", "pump"]
    assert made[1].vectors.shape == (0, fp32.dimensions)
    for text, tokens in zip(texts, made, strict=True):
        assert len(tokens.vectors) == len(tokens.spans) <= fp32.max_tokens - 2
        assert np.linalg.norm(tokens.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
        assert fp32.embed_tokens([text])[0].vectors == pytest.approx(tokens.vectors, abs=1e-4)


def test_a_word_shares_its_weight_among_its_tokens() -> None:
    question = "What is IL-6 in hypertension?"
    #         What    is      IL      -        6        in        hyper     tension   ?
    spans = [(0, 4), (5, 7), (8, 10), (10, 11), (11, 12), (13, 15), (16, 21), (21, 28), (28, 29)]
    weights = token_weights(question, np.array(spans), {"hypertension": 6.0, "IL": 3.0})
    assert weights == pytest.approx(np.array([0, 0, 3, 0, 4.5, 0, 3, 3, 0]) / 13.5)  # "6" is unknown: the median
    assert token_weights("the of", np.array([(0, 3), (4, 6)]), {}) == pytest.approx([0.5, 0.5])


def test_the_passage_that_speaks_of_it_comes_first(int8: OnnxEmbedder) -> None:
    reranker = LateInteraction(int8)
    scores = reranker.scores(request(int8))
    assert sorted(range(3), key=lambda place: -scores[place]) == [2, 0, 1]
    assert all(0 < score < 1 for score in scores)
    assert reranker.scores(request(int8, TEXTS[::-1])) == pytest.approx(scores[::-1], abs=1e-5)
    assert not reranker.scores(request(int8, ()))


def test_it_stops_at_the_deadline(int8: OnnxEmbedder) -> None:
    with pytest.raises(DeadlineExceeded):
        LateInteraction(int8).scores(request(int8, deadline=time.monotonic()))


def test_a_setting_turns_it_on(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path / "data", "generator": "none", "threads": 1, "reranker": LateInteraction.name}
    with Appliance.open(load_settings(settings), purpose="tests") as appliance:
        put(appliance, TEXTS)
        assert appliance.readiness()["reranker"].ready
        found = appliance.search(Query(QUESTION))
        assert found.reranked
        assert found.hits[0].chunk.text == TEXTS[2]


def test_an_embedder_without_tokens_costs_only_the_reranker(tmp_path: Path) -> None:
    assert not isinstance(HashEmbedder(), TokenEmbedder)
    with opened(tmp_path, LateInteraction.name) as appliance:
        component = appliance.readiness()["reranker"]
        assert (component.ready, component.needed) == (False, False)
        assert "vectors of tokens" in component.detail
        put(appliance, TEXTS)
        assert not appliance.search(Query(QUESTION)).reranked
