"""What the cache may do where a flag allows it, on a real server: similar questions, stale answers, warming up."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance import versions
from tests.web.conftest import CORPUS, QUESTION, Service, until

AGAIN = "how often must the boiler be serviced by a licensed engineer"


def ask(client: Any, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    answered = client.post("/query", json={"question": question, **more})
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def put(service: Service, **values: Any) -> None:
    service.appliance.flags.put("", values, by="tests")


@pytest.fixture(autouse=True)
def _lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions count as lasting at once: tests do not wait."""
    monkeypatch.setattr(versions, "LASTING_S", 0.0)


@pytest.mark.slow
def test_a_question_that_says_the_same_gets_the_answer_and_is_told_so(corpus: Service) -> None:
    with corpus.client() as client:
        first = ask(client)
        assert ask(client, AGAIN)["cache"] == "", "off by default"
        client.delete("/cache")
        put(corpus, semantic_cache=True)
        first = ask(client)
        similar = ask(client, AGAIN)
        assert (similar["cache"], similar["cache_hit"], similar["answered_question"]) == ("semantic", True, QUESTION)
        assert similar["answer"] == first["answer"]
        assert ask(client, AGAIN, k=3)["cache"] == "", "other parameters"
        assert ask(client, AGAIN, filters='source != "x"')["cache"] == "", "other filters"
        assert ask(client, QUESTION.replace("boiler", "pump"))["cache"] == ""
        assert ask(client, QUESTION.replace("must", "must not"))["cache"] == ""
        layers = {layer["layer"]: layer for layer in client.get("/cache/stats").json()["layers"]}
        assert layers["semantic"]["hits"] == 1
        corpus.add("notes/new.txt", "The garage is swept on Fridays.")
        assert ask(client, AGAIN)["cache"] == "", "another version of the collection"


@pytest.mark.slow
def test_a_similar_question_finds_nothing_that_was_purged(corpus: Service) -> None:
    with corpus.client() as client:
        put(corpus, semantic_cache=True)
        cited = ask(client)["sources"][0]["document_id"]
        assert client.delete("/cache", params={"tag": f"document:{cited}"}).json()["removed"] == 1
        assert ask(client, AGAIN)["cache"] == ""


@pytest.mark.slow
def test_after_an_ingestion_the_answer_before_is_given_while_it_is_renewed(corpus: Service) -> None:
    with corpus.client() as client:
        put(corpus, stale_while_revalidate_s=60)
        before = ask(client)
        corpus.add("notes/new.txt", "The boiler must be serviced every six months by a licensed engineer.")
        stale = ask(client)
        assert (stale["cache"], stale["answer"]) == ("stale", before["answer"])
        assert until(lambda: ask(client)["cache"] == "memory")
        put(corpus, stale_while_revalidate_s=0)
        corpus.add("notes/newer.txt", "The garage is swept on Fridays.")
        assert ask(client)["cache"] == "", "off by default"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["erase", "delete", "revoke", "late"])
def test_never_after_something_was_taken_away(corpus: Service, what: str) -> None:
    with corpus.client() as client:
        put(corpus, stale_while_revalidate_s=0.3 if what == "late" else 60)
        before = ask(client)
        document = before["sources"][0]["document_id"]
        corpus.add("notes/new.txt", "The garage is swept on Fridays.")
        if what == "erase":
            assert client.post("/documents/erase", json={"ids": [document]}).status_code in {200, 202}
        elif what == "delete":
            assert client.delete(f"/documents/{document}").status_code == 200
        elif what == "revoke":
            key = client.get("/admin/keys").json()["keys"][-1]["id"]
            assert client.delete(f"/admin/keys/{key}").status_code == 200
        else:
            time.sleep(0.4)
        after = ask(client)
        assert after["cache"] == ""
        if what in {"erase", "delete"}:
            assert after["answer"] != before["answer"]


@pytest.mark.slow
def test_what_is_asked_most_is_computed_after_a_change(open_service: Callable[..., Service]) -> None:
    service = open_service(keep_questions=True)
    service.add("notes/heating.txt", CORPUS["notes/heating.txt"])
    with service.client() as client:
        for _ in range(3):
            ask(client)
        ask(client, "What is asked once?")
        ask(client, "What is asked with another k?", k=3)
        put(service, prewarm=1)
        service.add("notes/new.txt", "The garage is swept on Fridays.")
        stats = service.appliance.cache.answers.stats
        entries = stats()[0].entries
        assert until(lambda: stats()[0].entries > entries, 15)
        assert ask(client)["cache"] == "memory"
        assert ask(client, "What is asked once?")["cache"] == ""


@pytest.mark.slow
def test_without_leave_no_question_is_kept(corpus: Service) -> None:
    with corpus.client() as client:
        ask(client)
    assert corpus.appliance.cache.asked.most("default", 9) == []
    corpus.appliance.cache.asked.write()
    assert not (corpus.appliance.paths.cache / "asked.json").exists()
