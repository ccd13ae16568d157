"""Questions over HTTP: exact citations, the cache, streams, shared work, deadlines, clients that leave."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client import Histogram

from appliance.telemetry import log
from appliance.telemetry.metrics import HTTP_SECONDS
from tests.web.conftest import QUESTION, Gate, Service, until

ANSWER_FIELDS = {
    "answer", "sources", "claims", "abstained", "reason", "mode", "notice", "condensed_question", "nearest", "usage",
    "understood", "route", "prompt_id", "timings", "cache_hit", "cache", "answered_question", "latency_ms", "query_id",
}  # fmt: skip
HIT_FIELDS = {
    "chunk_id", "document_id", "source", "title", "section", "page", "start", "end", "text", "score", "dense_rank",
    "lexical_rank", "dense_score", "lexical_score", "exact_score", "fused_score", "rerank_score", "duplicates",
}  # fmt: skip


def ask(client: httpx.Client, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    response = client.post("/query", json={"question": question, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


@pytest.mark.slow
def test_shape_and_exact_citations(library: Service) -> None:
    with library.client("reader") as client:
        found = ask(client)
        assert set(found) == ANSWER_FIELDS
        assert found["claims"]
        assert not found["abstained"]
        assert found["reason"] is None
        for claim in found["claims"]:
            assert set(claim) == {"text", "supported", "citations"}
            assert claim["citations"]
            for place in claim["citations"]:
                text = client.get(f"/documents/{place['document_id']}/text").json()["text"]
                assert text[place["start"] : place["end"]] == place["quote"]
                assert place["source"] in {source["source"] for source in found["sources"]}


def test_hits_are_exact_places(library: Service) -> None:
    with library.client("reader") as client:
        found = client.post("/search", json={"question": "tomatoes sunlight"}).json()
        assert found["hits"]
        for hit in found["hits"]:
            assert set(hit) == HIT_FIELDS
            text = client.get(f"/documents/{hit['document_id']}/text").json()["text"]
            assert text[hit["start"] : hit["end"]] == hit["text"]


@pytest.mark.slow
def test_second_time_comes_from_the_cache(corpus: Service) -> None:
    with corpus.client("reader") as client:
        first, second = ask(client), ask(client)
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    own = {"timings", "cache_hit", "cache", "answered_question", "latency_ms", "query_id"}
    assert {name: value for name, value in first.items() if name not in own} == {
        name: value for name, value in second.items() if name not in own
    }
    assert first["query_id"] != second["query_id"]
    assert set(second["timings"]) == {"cache"}


@pytest.mark.parametrize("change", [{"k": 3}, {"alpha": 0.0}, {"filters": "title exists"}, {"mode": "extractive"}])
def test_other_parameters_are_another_answer(library: Service, change: dict[str, Any]) -> None:
    with library.client("reader") as client:
        ask(client)
        assert ask(client, **change)["cache_hit"] is False


@pytest.mark.slow
def test_changed_collection_never_gives_an_old_answer(corpus: Service) -> None:
    with corpus.client("reader") as client:
        assert "twelve months" in ask(client)["answer"]
        corpus.add("notes/heating.txt", "The boiler must be serviced every SIX months by a licensed engineer.")
        again = ask(client)
    assert again["cache_hit"] is False
    assert "twelve" not in again["answer"]
    assert "SIX" in again["answer"]


@pytest.mark.slow
def test_deleting_takes_the_answer_with_it(corpus: Service) -> None:
    with corpus.client("editor") as client:
        place = ask(client)["claims"][0]["citations"][0]
        client.delete(f"/documents/{place['document_id']}")
        assert "twelve months" not in json.dumps(ask(client))


@pytest.mark.slow
def test_refusal_has_a_reason_and_the_nearest_passages(open_service: Callable[..., Service]) -> None:
    service = open_service(abstain_below=1.0)
    service.add("a.txt", "The library opens at nine.")
    with service.client("reader") as client:
        found = ask(client, "What is the capital of Atlantis?")
    assert found["abstained"]
    assert found["reason"]
    assert found["claims"] == []
    assert found["answer"] == ""
    assert set(found["nearest"][0]) == HIT_FIELDS


def test_empty_collection_is_refused_honestly(service: Service) -> None:
    with service.client("reader") as client:
        found = ask(client)
    assert (found["abstained"], found["reason"], found["nearest"]) == (True, "empty_collection", [])


@pytest.mark.slow
def test_stream_ends_with_the_whole_answer(corpus: Service) -> None:
    with corpus.client("reader") as client:
        for cached in (False, True):
            with client.stream("POST", "/query", json={"question": QUESTION, "stream": True}) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                got = list(events(response.iter_lines()))
            names = [name for name, _ in got]
            assert names[-1] == "done"
            assert set(names[:-1]) == {"claim"}
            done = got[-1][1]
            assert set(done) == ANSWER_FIELDS
            assert done["cache_hit"] is cached
            assert [claim for name, claim in got if name == "claim"] == done["claims"]
            assert done["query_id"] == response.headers["x-query-id"]


@pytest.mark.slow
def test_identical_questions_share_one_computation(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    with ThreadPoolExecutor(8) as pool, corpus.client("reader") as client:
        waiting = [pool.submit(ask, client) for _ in range(8)]
        assert until(lambda: gate.begun == 1)
        time.sleep(0.3)
        gate.open()
        answers = [one.result() for one in waiting]
    assert gate.begun == 1
    assert len({answer["answer"] for answer in answers}) == 1
    assert len({answer["query_id"] for answer in answers}) == 8


def test_too_many_questions_are_refused_at_once(open_service: Callable[..., Service]) -> None:
    service = open_service(query_concurrency=2)
    gate = Gate(service.appliance)
    with ThreadPoolExecutor(2) as pool, service.client("reader") as client:
        held = [pool.submit(ask, client, f"question {number}") for number in range(2)]
        assert until(lambda: (gate.begun, service.appliance.asking.held_back) == (1, 1))
        started = time.monotonic()
        refused = client.post("/query", json={"question": "one more"})
        assert time.monotonic() - started < 0.5
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["code"] == "too_many_questions"
        assert client.get("/health").status_code == 200
        gate.open()
        for one in held:
            one.result()
        assert ask(client, "and now")["query_id"]


@pytest.mark.slow
def test_a_question_over_its_deadline_is_let_go(open_service: Callable[..., Service]) -> None:
    service = open_service(query_timeout_s=0.2)
    gate = Gate(service.appliance)
    with service.client("reader") as client:
        response = client.post("/query", json={"question": "slow"})
    assert response.status_code == 504
    assert response.json()["code"] == "deadline_exceeded"
    assert until(lambda: gate.cancelled == 1)
    gate.open()


@pytest.mark.slow
def test_a_stream_that_fails_counts_as_failed(
    open_service: Callable[..., Service], capsys: pytest.CaptureFixture[str]
) -> None:
    service = open_service(query_timeout_s=0.5)
    gate = Gate(service.appliance)
    failed = HTTP_SECONDS.labels("POST", "/query", "5xx")
    before = samples(failed)
    with service.client() as client:
        response = client.post("/query", json={"question": "slow", "stream": True})
        assert response.status_code == 200
        name, problem = list(events(iter(response.text.splitlines())))[-1]
        assert (name, problem["status"]) == ("error", 504)
        gate.open()
        trace = f"/admin/traces/{problem['query_id']}"
        assert until(lambda: client.get(trace).status_code == 200)
        assert client.get(trace).json()["status"] == 504
    assert samples(failed) == before + 1
    log.OFTEN.flush()
    lines = [line for line in capsys.readouterr().err.splitlines() if problem["query_id"] in line]
    assert any('"status":504' in line for line in lines)


def samples(histogram: Histogram) -> float:
    return next(sample.value for sample in histogram._child_samples() if sample.name == "_count")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_worker(open_service: Callable[..., Service], stream: bool) -> None:
    service = open_service(query_concurrency=1)
    gate = Gate(service.appliance)
    leave_in_the_middle(service, {"question": "slow", "stream": stream}, lambda: gate.begun == 1)
    assert until(lambda: gate.cancelled == 1)
    gate.open()
    with service.client("reader") as client:
        assert until(lambda: client.post("/query", json={"question": "next"}).status_code == 200)


@pytest.mark.slow
def test_the_work_goes_on_while_anyone_waits(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    with ThreadPoolExecutor(1) as pool, corpus.client("reader") as client:
        staying = pool.submit(ask, client)
        assert until(lambda: gate.begun == 1)
        leave_in_the_middle(corpus, {"question": QUESTION, "stream": True}, lambda: True)
        time.sleep(0.3)
        assert gate.cancelled == 0
        gate.open()
        assert "twelve months" in staying.result()["answer"]
    assert gate.begun == 1


@pytest.mark.slow
def test_cancelled_work_is_not_kept(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    leave_in_the_middle(corpus, {"question": QUESTION}, lambda: gate.begun == 1)
    assert until(lambda: gate.cancelled == 1)
    gate.open()
    with corpus.client("reader") as client:
        assert ask(client)["cache_hit"] is False


@pytest.mark.slow
def test_cache_off_still_answers(open_service: Callable[..., Service]) -> None:
    service = open_service(cache_bytes=0)
    service.add("a.txt", "The library opens at nine.")
    with service.client("reader") as client:
        assert [ask(client, "When does the library open?")["cache_hit"] for _ in range(2)] == [False, False]


@pytest.mark.slow
def test_log_has_the_query_id_and_never_the_question(corpus: Service, capsys: pytest.CaptureFixture[str]) -> None:
    from appliance.web.envelope import FLUSH_S

    log.configure("info", "json")
    capsys.readouterr()
    with corpus.client("reader") as client:
        found = ask(client)
        ask(client)
    time.sleep(2 * FLUSH_S)
    shown = capsys.readouterr().err
    lines = [json.loads(line) for line in shown.splitlines() if '"event":"request"' in line]
    line = next(line for line in lines if line["query_id"] == found["query_id"])
    assert {"route": "/query", "status": 200, "method": "POST"}.items() <= line.items()
    assert line["ms"] > 0
    assert line["principal"]
    assert "boiler" not in shown
    assert "twelve" not in shown
    for key in corpus.keys.values():
        assert key not in shown


def leave_in_the_middle(service: Service, body: dict[str, Any], when: Callable[[], bool], path: str = "/query") -> None:
    """Send a question over a bare socket and close it once `when` holds."""
    host, port = service.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-API-Key: {service.keys['reader']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + content)
        assert until(when, 60)
        time.sleep(0.1)


@pytest.mark.slow
def test_metrics_count_questions_by_route(corpus: Service) -> None:
    with corpus.client("reader") as client:
        before = client.get("/metrics").text
        ask(client)
        client.get("/no/such/route/at/all")
        after = client.get("/metrics").text
    assert 'route="/query"' in after
    assert "/no/such/route" not in after
    assert before != after


def test_many_threads_of_questions(library: Service) -> None:
    """Nothing is mixed up under concurrency: each asker gets the answer to its own question."""
    wanted = {
        "boiler serviced licensed engineer": "twelve months",
        "roses pruned": "February",
        "tomatoes sunlight": "six hours",
    }
    wrong: list[str] = []

    def asker(number: int) -> None:
        with library.client("reader") as client:
            for turn in range(6):
                question, expected = list(wanted.items())[(number + turn) % 3]
                if expected not in json.dumps(ask(client, question, k=1 + turn)):
                    wrong.append(question)

    threads = [threading.Thread(target=asker, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
