"""Traces sent to a collector that the test plays: decoded by OpenTelemetry's definitions, never waited for."""

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from appliance.config import bare_environment
from appliance.paths import DataPaths
from appliance.telemetry import otlp
from appliance.telemetry.metrics import TRACES_DROPPED, TRACES_EXPORTED
from appliance.telemetry.stages import stage
from appliance.telemetry.traces import Traces
from appliance.telemetry.tracing import CURRENT, Trace, record

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """An OTLP/HTTP receiver on loopback: keeps what it gets, answers with `status` after `delay_s`."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.status, self.delay_s = 200, 0.0
        self.tried = 0
        self.gone = threading.Event()
        collector = self

        class Receive(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.tried += 1
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/json"
                collector.gone.wait(collector.delay_s)
                if collector.status == 200:
                    collector.requests.append(decoded(body))
                try:
                    self.send_response(collector.status)
                    self.send_header("content-length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")
                except OSError:
                    return  # the sender did not wait for us

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[OtlpSpan]:
        found = [one for request in self.requests for all in request.resource_spans for one in all.scope_spans]
        return [one for scope in found for one in scope.spans]

    def close(self) -> None:
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


def decoded(body: bytes) -> ExportTraceServiceRequest:
    """OTLP's JSON differs from protobuf's in one point: ids are hexadecimal, not base64. Unknown fields raise."""
    content = json.loads(body)
    for resource in content["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for one in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    found = ExportTraceServiceRequest()
    json_format.ParseDict(content, found)
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "EVERY_S", 0.05)
    monkeypatch.setattr(otlp, "FIRST_PAUSE_S", 0.05)


def made_trace(query_id: str = "00112233445566aa", traceparent: bytes = b"", status: int = 200) -> Trace:
    trace = Trace(query_id, traceparent=traceparent)
    token = trace.here()
    with stage("answer"):
        record("lexical", time.perf_counter(), time.perf_counter() + 0.001, hits=3, share=0.5, exact=True, model="x")
    CURRENT.reset(token)
    line = {"method": "POST", "route": "/query", "status": status, "code": "disk_gone" if status >= 400 else None}
    trace.end("/query", status, line, time.perf_counter())
    return trace


def count(counter: Any) -> float:
    return float(counter.total)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def attributes(one: OtlpSpan) -> dict[str, Any]:
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in one.attributes}


def test_spans_arrive_with_their_ids_times_and_attributes(collector: Collector) -> None:
    traces = Traces()
    with otlp.exported(traces, collector.url):
        for trace in (made_trace(traceparent=CALLER.encode()), made_trace("00000000000000ff", status=503)):
            traces.keep(trace)
        assert until(lambda: len(collector.spans) == 6)
    root, answer, lexical = collector.spans[:3]
    assert root.trace_id.hex() == answer.trace_id.hex() == CALLER[3:35]
    assert root.parent_span_id.hex() == CALLER[36:52]
    assert root.span_id.hex() == "00112233445566aa"
    assert (answer.parent_span_id, lexical.parent_span_id) == (root.span_id, answer.span_id)
    assert (root.name, root.kind) == ("POST /query", OtlpSpan.SPAN_KIND_SERVER)
    assert root.start_time_unix_nano <= answer.start_time_unix_nano <= answer.end_time_unix_nano
    assert abs(root.start_time_unix_nano / 1e9 - time.time()) < 60
    assert attributes(root)["http.request.method"] == "POST"
    assert attributes(root)["http.response.status_code"] == 200
    assert attributes(root)["rag.query_id"] == "00112233445566aa"
    assert attributes(lexical) == {"rag.hits": 3, "rag.share": 0.5, "rag.exact": True, "rag.model": "x"}
    failed = collector.spans[3]
    assert (failed.status.code, failed.status.message) == (2, "disk_gone")
    (resource,) = collector.requests[0].resource_spans
    assert {item.key for item in resource.resource.attributes} == {"service.name", "service.version"}


def test_what_the_caller_left_out_is_not_sent(collector: Collector) -> None:
    traces = Traces()
    with otlp.exported(traces, collector.url):
        traces.keep(made_trace(traceparent=CALLER.encode()[:-1] + b"0"))
        traces.keep(made_trace("00000000000000ee"))
        assert until(lambda: len(collector.spans) == 3)
    assert collector.spans[0].span_id.hex() == "00000000000000ee"
    assert len(traces.list()) == 2


def test_batches_are_bounded_and_the_end_sends_what_is_left(collector: Collector) -> None:
    traces = Traces()
    before = count(TRACES_EXPORTED)
    with otlp.exported(traces, collector.url):
        for number in range(450):
            traces.keep(made_trace(f"{number:016x}"))
    assert len(collector.spans) == 450 * 3
    sizes = [sum(len(scope.spans) for scope in one.resource_spans[0].scope_spans) for one in collector.requests]
    assert max(sizes) <= 3 * otlp.BATCH_TRACES
    assert count(TRACES_EXPORTED) - before == 450


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (503, otlp.TRIES)])
def test_what_a_collector_refuses_is_dropped_and_counted(collector: Collector, status: int, tries: int) -> None:
    collector.status = status
    traces = Traces()
    before = count(TRACES_DROPPED.labels("refused"))
    with otlp.exported(traces, collector.url):
        traces.keep(made_trace())
        assert until(lambda: count(TRACES_DROPPED.labels("refused")) == before + 1)
        assert collector.tried == tries
        collector.status = 200
        traces.keep(made_trace("00000000000000dd"))
        assert until(lambda: len(collector.spans) == 3)


@pytest.mark.slow
def test_nobody_waits_for_a_collector_that_hangs(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(otlp, "LAST_S", 0.5)
    collector.delay_s = 60.0
    traces = Traces()
    before = count(TRACES_DROPPED.labels("queue_full"))
    with otlp.exported(traces, collector.url):
        traces.keep(made_trace())
        assert until(lambda: collector.tried > 0)
        began = time.perf_counter()
        for number in range(3 * otlp.MOST_WAITING):
            traces.keep(made_trace(f"{number:016x}"))
        kept = time.perf_counter() - began
        assert count(TRACES_DROPPED.labels("queue_full")) - before >= 2 * otlp.MOST_WAITING - otlp.BATCH_TRACES
    assert kept < 10 * otlp.TIMEOUT_S
    assert collector.requests == []


def start(folder: Path, **settings: str) -> subprocess.Popen[bytes]:
    environment = bare_environment() | {f"RAG_APPLIANCE_{name.upper()}": value for name, value in settings.items()}
    environment |= {"RAG_APPLIANCE_EMBEDDER": "hash", "RAG_APPLIANCE_GENERATOR": "none"}
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("airgap", ["try", "require"])
def test_a_locked_server_does_not_start_with_an_endpoint(tmp_path: Path, airgap: str) -> None:
    process = start(tmp_path, airgap=airgap, otlp_endpoint="http://127.0.0.1:4318")
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"otlp_endpoint" in told.lower()
    assert b"airgap" in told.lower()


@pytest.mark.slow
def test_a_real_server_sends_its_questions_and_answers_without_the_collector(
    collector: Collector, tmp_path: Path
) -> None:
    process = start(tmp_path, airgap="off", otlp_endpoint=collector.url)
    try:
        path = DataPaths(tmp_path / "data").server
        assert until(path.exists, 60)
        served = json.loads(path.read_text())
        with httpx.Client(base_url=served["url"], headers={"X-API-Key": served["key"]}, trust_env=False) as client:
            asked = client.post("/query", json={"question": "Who?"}, headers={"traceparent": CALLER})
            assert until(lambda: any(one.name == "POST /query" for one in collector.spans))
            root = next(one for one in collector.spans if one.name == "POST /query")
            assert root.span_id.hex() == asked.json()["query_id"]
            assert root.trace_id.hex() == CALLER[3:35]
            collector.delay_s = 60.0
            for number in range(50):
                assert client.post("/query", json={"question": f"Who is {number}?"}).status_code == 200
            collector.close()
            assert client.post("/query", json={"question": "Who else?"}).status_code == 200
            assert "rag_traces_dropped_total" in client.get("/metrics").text
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        process.stderr.close()
