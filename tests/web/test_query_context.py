"""Contexts, follow-ups and reworded questions through POST /query and /search."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.conftest import QUESTION, Service
from tests.web.test_query import ask


@pytest.mark.slow
def test_a_search_hands_on_a_context_where_it_is_asked_for(library: Service) -> None:
    with library.client("reader") as client:
        plain = client.post("/search", json={"question": QUESTION}).json()
        assert plain["context"] is None
        body = {"question": QUESTION, "expand": "document", "compress": 16, "k": 3}
        context = client.post("/search", json=body).json()["context"]
        assert context["tokens"] <= 16 < context["tokens"] + context["dropped"]
        for passage in context["passages"]:
            text = client.get(f"/documents/{passage['document_id']}/text").json()["text"]
            assert passage["chunk_ids"]
            for piece in passage["pieces"]:
                assert passage["start"] <= piece["start"] < piece["end"] <= passage["end"]
                assert text[piece["start"] : piece["end"]] == piece["text"]


@pytest.mark.slow
def test_settings_choose_where_a_question_does_not(open_service: Callable[..., Service]) -> None:
    service = open_service(expand="document", compress=20)
    service.add("pump.txt", "The pump moves water. " * 30)
    with service.client("reader") as client:
        asked = {"question": "What does the pump move?"}
        assert client.post("/search", json=asked).json()["context"]["tokens"] <= 20
        assert client.post("/search", json={**asked, "expand": "none", "compress": 0}).json()["context"] is None
        answer = client.post("/query", json=asked).json()
        assert answer["answer"].startswith("The pump moves water.")
        again = client.post("/query", json={**asked, "expand": "document", "compress": 20}).json()
        assert again["cache_hit"]
        assert not client.post("/query", json={**asked, "compress": 0}).json()["cache_hit"]


@pytest.mark.slow
def test_a_follow_up_is_condensed_in_both_forms_of_a_history(corpus: Service) -> None:
    turns = [{"question": QUESTION, "answer": "Every twelve months."}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Every twelve months."},
    ]
    with corpus.client("reader") as client:
        for history in (turns, messages):
            asked = {"question": "And who does it?", "history": history}
            answer = client.post("/query", json=asked).json()
            assert answer["condensed_question"].startswith("And who does it? (")
            assert "licensed engineer" in answer["answer"]
            found = client.post("/search", json=asked).json()
            assert found["condensed_question"] == answer["condensed_question"]
        assert client.post("/query", json=asked).json()["cache_hit"]
        assert ask(client, "And who does it?")["condensed_question"] == ""


@pytest.mark.parametrize(
    ("history", "code"),
    [
        ([{"question": "a"}] * 21, "history_too_long"),
        ([{"question": "a", "answer": "x" * 40_001}], "history_too_long"),
        ([{}], "invalid_history"),
        ([{"role": "user"}], "invalid_history"),
        ([{"answer": "x"}], "invalid_history"),
        ([{"question": "a", "role": "user", "content": "b"}], "invalid_history"),
        ([{"role": "poet", "content": "b"}], "invalid_request"),
        ("before", "invalid_request"),
    ],
)
def test_a_history_that_cannot_be_used_is_refused(library: Service, history: Any, code: str) -> None:
    with library.client("reader") as client:
        for route in ("/query", "/search"):
            refused = client.post(route, json={"question": "And then?", "history": history})
            assert (refused.status_code, refused.json()["code"]) == (400, code)


@pytest.mark.slow
def test_a_question_is_reworded_where_that_is_asked_for(open_service: Callable[..., Service]) -> None:
    service = open_service(generator="scripted")
    service.add("pump.txt", "The pump moves water.")
    with service.client("reader") as client:
        for how in ("multi", "hyde"):
            found = client.post("/search", json={"question": "What moves it?", "rewrite": how}).json()
            assert found["notice"] == ""
            assert "rewrite" in found["timings"]
        assert client.post("/search", json={"question": "a", "rewrite": "poem"}).status_code == 400
        assert "rewrite" not in client.post("/search", json={"question": "What moves it?"}).json()["timings"]


@pytest.mark.slow
def test_a_question_that_could_not_be_reworded_says_so_and_is_not_cached(corpus: Service) -> None:
    with corpus.client("reader") as client:
        for _ in range(2):
            answer = ask(client, rewrite="multi")
            assert "was not rewritten, because no generator is set up" in answer["notice"]
            assert not answer["cache_hit"]
            assert "twelve months" in answer["answer"]


@pytest.mark.slow
def test_a_generated_answer_is_written_from_a_compressed_context(open_service: Callable[..., Service]) -> None:
    service = open_service(generator="scripted", prompt_tokens=60)
    service.add("pump.txt", "The pump moves water from the well to the house. " * 60)
    with service.client("reader") as client:
        used = [
            ask(client, "What does the pump move?", mode="generative", **more)["usage"]["prompt_tokens"]
            for more in ({}, {"compress": 0}, {"compress": 40})
        ]
    assert used[2] < used[0] < used[1]
