"""Traces of real questions and tasks: every step nested across threads, kept within bounds, shown to admins."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import StorageError
from appliance.telemetry.traces import NEWEST, SLOWEST
from appliance.types import Answer
from tests.web.conftest import CORPUS, QUESTION, Gate, Service, until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def two_threads(open_service: Callable[..., Service]) -> Service:
    """A served appliance that holds CORPUS and searches for words beside."""
    service = open_service(threads=2)
    for source, text in CORPUS.items():
        service.add(source, text)
    return service


def trace_of(service: Service, query_id: str) -> dict[str, Any]:
    with service.client() as client:
        assert until(lambda: client.get(f"/admin/traces/{query_id}").status_code == 200)
        found: dict[str, Any] = client.get(f"/admin/traces/{query_id}").json()
    return found


def ask(service: Service, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    with service.client("reader") as client:
        answer = client.post("/query", json={"question": question, **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
    return found


def names(trace: dict[str, Any]) -> list[str]:
    return [span["name"] for span in trace["spans"]]


def parent_of(trace: dict[str, Any], name: str) -> str:
    span = next(span for span in trace["spans"] if span["name"] == name)
    return str(trace["spans"][span["parent"]]["name"])


@pytest.mark.slow
def test_every_step_of_a_question_is_a_span_in_its_place(two_threads: Service) -> None:
    answer = ask(two_threads)
    trace = trace_of(two_threads, answer["query_id"])
    assert trace["route"] == names(trace)[0] == "/query"
    assert trace["spans"][0]["parent"] is None
    for name in ("receive", "settle", "cache", "wait", "answer", "encode", "store", "send"):
        assert parent_of(trace, name) == "/query", name
    within = ("filter", "embed", "dense", "lexical", "fuse", "fetch", "rerank", "select", "extract", "compare")
    for name in within:
        assert parent_of(trace, name) == "answer", name
    for span in trace["spans"][1:]:
        parent = trace["spans"][span["parent"]]
        assert span["status"] == "ok"
        assert span["start_ms"] >= parent["start_ms"] - 0.01
        assert span["start_ms"] + span["duration_ms"] <= parent["start_ms"] + parent["duration_ms"] + 0.01, span
    assert set(answer["timings"]) <= set(names(trace))


@pytest.mark.slow
def test_a_trace_holds_no_text_of_questions_or_documents(two_threads: Service) -> None:
    with two_threads.client() as client:
        body = client.get(f"/admin/traces/{ask(two_threads)['query_id']}").text
    assert "boiler" not in body
    assert "engineer" not in body


@pytest.mark.slow
def test_questions_are_in_traces_where_the_log_may_hold_them(open_service: Callable[..., Service]) -> None:
    service = open_service(log_questions=True)
    service.add("a", "The boiler is old.")
    root = trace_of(service, ask(service)["query_id"])["spans"][0]
    assert root["attributes"]["question"] == QUESTION


@pytest.mark.slow
def test_a_cached_answer_has_a_short_trace(two_threads: Service) -> None:
    ask(two_threads)
    trace = trace_of(two_threads, ask(two_threads)["query_id"])
    assert sorted(names(trace)) == ["/query", "cache", "receive", "send", "settle"]
    assert trace["spans"][0]["attributes"]["cache_hit"] is True


@pytest.mark.slow
def test_the_trace_of_the_caller_goes_on(corpus: Service) -> None:
    with corpus.client(headers={"traceparent": PARENT}) as client:
        query_id = client.post("/search", json={"question": QUESTION}).json()["query_id"]
        trace = trace_of(corpus, query_id)
        assert (trace["trace_id"], trace["parent_span_id"]) == (PARENT[3:35], PARENT[36:52])
        assert client.get(f"/admin/traces/{PARENT[3:35]}").json()["query_id"] == query_id
    with corpus.client(headers={"traceparent": "00-" + "0" * 32 + PARENT[35:]}) as client:
        other = client.post("/search", json={"question": QUESTION}).json()["query_id"]
    assert trace_of(corpus, other)["parent_span_id"] == ""


@pytest.mark.slow
def test_who_joins_a_question_is_told_whose_it_is(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(corpus))) for _ in range(2)]
    threads[0].start()
    assert until(lambda: gate.begun == 1)
    threads[1].start()
    assert until(lambda: _waiting(corpus) == 2)
    gate.open()
    for thread in threads:
        thread.join()
    first, second = (trace_of(corpus, answer["query_id"]) for answer in answers)
    if "answer" not in names(first):
        first, second = second, first
    assert "answer" in names(first)
    assert "answer" not in names(second)
    assert second["spans"][0]["attributes"]["joined"] == first["query_id"]


def _waiting(service: Service) -> int:
    with service.client() as client:
        page = client.get("/metrics").text
    line = next(line for line in page.splitlines() if line.startswith("rag_http_requests_in_flight"))
    return int(float(line.split()[1])) - 1


@pytest.mark.slow
def test_what_failed_is_kept_with_the_id_of_its_error(corpus: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Answer:
        raise StorageError("the disk is gone", code="disk_gone")

    monkeypatch.setattr(corpus.appliance, "answer", fails)
    with corpus.client() as client:
        failed = client.post("/query", json={"question": QUESTION})
        assert failed.status_code >= 500
        query_id = failed.json()["query_id"]
        assert failed.headers["x-query-id"] == query_id
        errors = client.get("/admin/traces", params={"shelf": "errors"}).json()["traces"]
    assert [(one["query_id"], one["code"]) for one in errors] == [(query_id, "disk_gone")]
    spans = trace_of(corpus, query_id)["spans"]
    assert spans[0]["status"] == "disk_gone"
    assert next(span for span in spans if span["name"] == "answer")["status"] == "disk_gone"


@pytest.mark.slow
def test_traces_are_listed_and_bounded(corpus: Service) -> None:
    ids = [ask(corpus, f"What is {number}?")["query_id"] for number in range(NEWEST + 30)]
    with corpus.client() as client:
        newest = client.get("/admin/traces", params={"limit": 1000}).json()
        assert newest["seen"] > NEWEST
        assert len(newest["traces"]) == NEWEST
        assert newest["traces"][0]["query_id"] == ids[-1]
        slowest = client.get("/admin/traces", params={"shelf": "slowest", "route": "/query"}).json()["traces"]
        assert len(slowest) == SLOWEST
        assert slowest == sorted(slowest, key=lambda one: -one["duration_ms"])
        assert client.get(f"/admin/traces/{slowest[-1]['query_id']}").status_code == 200
        some = client.get("/admin/traces", params={"min_ms": slowest[0]["duration_ms"]}).json()["traces"]
        assert len(some) <= 1
        assert client.get("/admin/traces", params={"shelf": "old"}).status_code == 400


@pytest.mark.slow
def test_a_trace_that_is_gone_and_one_of_others(corpus: Service) -> None:
    with corpus.client() as client:
        gone = client.get("/admin/traces/0123456789abcdef")
        assert (gone.status_code, gone.json()["code"]) == (404, "trace_gone")
        assert str(NEWEST) in gone.json()["hint"]
    with corpus.client("reader") as client:
        assert client.get("/admin/traces").status_code == 403
        assert client.get("/admin/traces/0123456789abcdef").status_code == 403


@pytest.mark.slow
def test_a_question_that_is_left_keeps_its_trace_until_the_work_ends(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    with corpus.client("reader", headers={}) as client, pytest.raises(Exception, match="timed out"):
        client.post("/query", json={"question": QUESTION}, timeout=0.3)
    assert until(lambda: gate.cancelled == 1)
    assert until(lambda: _left(corpus) is not None)
    left = _left(corpus)
    assert left is not None
    trace = trace_of(corpus, left)
    assert trace["status"] == 499
    assert all(span["status"] != "unfinished" for span in trace["spans"])


def _left(service: Service) -> str | None:
    found = [one for one in service.appliance.traces.list() if one.status == 499]
    return found[0].query_id if found else None


@pytest.mark.slow
def test_an_ingestion_task_is_a_trace(corpus: Service) -> None:
    status = corpus.add("more.txt", "The cellar is dry.")
    trace = trace_of(corpus, status["task_id"])
    assert trace["route"] == "ingest"
    assert trace["status"] == 200
    for name in ("ingest.list", "ingest.read", "ingest.embed", "ingest.commit", "ingest.index"):
        assert parent_of(trace, name) == "ingest", name
    assert parent_of(trace, "ingest.chunk") == "ingest.read"
    assert trace["spans"][0]["attributes"]["collection"] == "default"


@pytest.mark.slow
def test_a_great_task_sums_up_what_it_cannot_keep(corpus: Service) -> None:
    with corpus.client() as client:
        files = [("file", (f"{number}.txt", f"Note {number}.".encode())) for number in range(450)]
        status = corpus.finished(client.post("/ingest", files=files).json()["task_id"])
    trace = trace_of(corpus, status["task_id"])
    assert len(trace["spans"]) == 400
    kept = names(trace).count("ingest.read")
    assert kept + trace["left_out"]["ingest.read"]["spans"] == 450


@pytest.mark.slow
def test_a_follow_up_and_a_generated_answer(open_service: Callable[..., Service]) -> None:
    service = open_service(generator="scripted", rewrite="multi")
    service.add("a", "The boiler must be serviced every twelve months by a licensed engineer.")
    history = [{"question": "What about the boiler?", "answer": "It is old."}]
    trace = trace_of(service, ask(service, "How often is it serviced?", history=history, mode="generative")["query_id"])
    for name in ("condense", "rewrite", "generate"):
        assert parent_of(trace, name) == "answer", name


@pytest.mark.slow
def test_the_steps_of_a_search(corpus: Service) -> None:
    with corpus.client() as client:
        asked = {"question": QUESTION, "expand": "section", "compress": 50, "self_query": True}
        query_id = client.post("/search", json=asked).json()["query_id"]
    trace = trace_of(corpus, query_id)
    for name in ("understand", "expand", "compress", "embed"):
        assert parent_of(trace, name) == "search", name
