"""The choice between fast and full evidence: a question's own, the setting's, and kept apart in the cache."""

from collections.abc import Callable

import pytest

from tests.web.conftest import Service

TEXT = "The boiler was made in Leeds. The boiler must be serviced every twelve months, because its seals are of cork."
QUESTION = "Why must the boiler be serviced?"


@pytest.mark.slow
def test_a_question_is_read_where_it_asks_for_it(open_service: Callable[..., Service]) -> None:
    service = open_service()
    service.add("boiler.txt", TEXT)
    with service.client("reader") as client:
        fast = client.post("/query", json={"question": QUESTION}).json()
        full = client.post("/query", json={"question": QUESTION, "evidence": "full"}).json()
        assert "read" not in fast["timings"]
        assert "read" in full["timings"]
        assert (full["cache_hit"], full["notice"]) == (False, "")
        assert "seals are of cork" in full["answer"]
        again = client.post("/query", json={"question": QUESTION, "evidence": "full"}).json()
        assert again["cache_hit"]
        assert client.post("/query", json={"question": QUESTION, "evidence": "half"}).status_code == 400
        assert client.post("/search", json={"question": QUESTION, "evidence": "full"}).status_code == 400


@pytest.mark.slow
def test_the_setting_decides_for_questions_that_do_not(open_service: Callable[..., Service]) -> None:
    service = open_service(evidence="full")
    service.add("boiler.txt", TEXT)
    with service.client("reader") as client:
        assert "read" in client.post("/query", json={"question": QUESTION}).json()["timings"]
        fast = client.post("/query", json={"question": QUESTION, "evidence": "fast"}).json()
        assert "read" not in fast["timings"]
