"""The server process: start, address file, port in use, orderly stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.web.server import GRACE_S, AddressUnusable, listen, url_of
from bench.load import run
from tests.web.conftest import CORPUS, QUESTION, Gate, Service, until

START_S = 60


class Process:
    """`appliance serve` as its own process."""

    def __init__(self, data: Path, port: int = 0) -> None:
        self.address = data / "server.json"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_APPLIANCE_")}
        environment |= {
            "RAG_APPLIANCE_EMBEDDER": "hash",
            "RAG_APPLIANCE_GENERATOR": "none",
            "RAG_APPLIANCE_LOG_FORMAT": "json",
        }
        command = [sys.executable, "-m", "appliance", "serve", "--data-dir", str(data), "--port", str(port)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_until_up(self) -> dict[str, Any]:
        assert until(lambda: self.address.exists() or self.process.poll() is not None, START_S)
        assert self.process.poll() is None, self.process.communicate()
        found: dict[str, Any] = json.loads(self.address.read_text())
        assert until(lambda: _alive(found["url"]), START_S)
        return found

    def end(self, number: int = signal.SIGTERM, seconds: float = 30) -> tuple[int, str, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def _alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def begin(**more: Any) -> Process:
        made.append(Process(tmp_path / "data", **more))
        return made[-1]

    yield begin
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_start_and_stop(start: Callable[..., Process], number: int) -> None:
    server = start()
    found = server.wait_until_up()
    assert set(found) == {"pid", "url", "key"}
    assert found["pid"] == server.process.pid
    assert server.address.stat().st_mode & 0o777 == 0o600
    assert (
        httpx.get(f"{found['url']}/admin/keys", headers={"X-API-Key": found["key"]}, trust_env=False).status_code == 200
    )
    code, out, err = server.end(number)
    assert code == 0
    assert found["url"] in out
    assert not server.address.exists()
    assert err.count("rag_") == 1  # the first admin key, once
    assert found["key"] not in out + err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_it_takes_questions_is_in_order_too(start: Callable[..., Process], number: int) -> None:
    server = start()
    assert server.process.stdout is not None
    assert "listens on" in server.process.stdout.readline()  # the event loop comes after this line
    code, _, err = server.end(number)
    assert code == 0, err
    assert not server.address.exists()
    assert "Traceback" not in err


@pytest.mark.slow
def test_who_stops_it_again_and_again_does_not_interrupt_its_closing(start: Callable[..., Process]) -> None:
    server = start()
    server.wait_until_up()
    while server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    code, _, err = server.end()
    assert code == 0, err
    assert not server.address.exists()
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_idle_connection_does_not_hold_the_stop_up(start: Callable[..., Process]) -> None:
    server = start()
    found = server.wait_until_up()
    with httpx.Client(base_url=found["url"], headers={"X-API-Key": found["key"]}, trust_env=False) as client:
        client.get("/health")  # keeps its connection open and idle
        started = time.monotonic()
        code, _, _ = server.end()
    assert code == 0
    assert time.monotonic() - started < 8


@pytest.mark.slow
def test_port_in_use_says_so_and_exits_with_one(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = _finished(start(port=port))
    assert code == 1
    assert str(port) in err
    assert "in use" in err
    assert "--port" in err
    assert "Traceback" not in out + err


def _finished(server: Process) -> tuple[int, str, str]:
    out, err = server.process.communicate(timeout=START_S)
    return server.process.returncode, out, err


def test_listen_errors_name_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AddressUnusable) as caught:
        listen("127.0.0.1", other.getsockname()[1])
    assert caught.value.code == "port_in_use"
    assert caught.value.hint
    with pytest.raises(AddressUnusable):
        listen("no-such-host.invalid", 0)
    with pytest.raises(AddressUnusable):
        listen("192.0.2.1", 0)  # an address of nobody (RFC 5737)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")])
def test_url_is_one_that_works_here(host: str, expected: str) -> None:
    with listen(host, 0) as bound:
        assert url_of(bound).startswith(expected)


@pytest.mark.slow
def test_a_question_in_work_is_finished_before_the_end(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    got: list[int] = []

    def ask() -> None:
        with corpus.client("reader") as client:
            got.append(client.post("/query", json={"question": QUESTION}).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    assert until(lambda: gate.begun == 1)
    threading.Timer(0.5, gate.open).start()
    corpus.stop()
    thread.join(10)
    assert got == [200]


@pytest.mark.slow
def test_a_stream_that_does_not_end_is_cut_at_the_stop(corpus: Service) -> None:
    gate = Gate(corpus.appliance)
    asked = {"question": QUESTION, "stream": True}
    with corpus.client("reader") as client, client.stream("POST", "/query", json=asked) as response:
        assert response.status_code == 200
        started = time.monotonic()
        corpus.stop()
        assert time.monotonic() - started < GRACE_S + 5
        told = response.read().decode()  # a whole body, not one that breaks off
    assert gate.cancelled == 1
    assert told.rstrip().rpartition("\n\n")[2].startswith(("event: done", "event: error"))


@pytest.mark.slow
def test_load_generator_measures_and_counts_errors(corpus: Service) -> None:
    questions = [text.split("\n")[-1] for text in CORPUS.values()]
    key = corpus.keys["reader"]
    good = run(corpus.url, key, name="cached", questions=questions, clients=2, seconds=0.5)
    assert good.errors == 0
    assert good.requests > 20
    assert 0 < good.p50_ms <= good.p95_ms <= good.p99_ms
    bad = run(corpus.url, "rag_wrong", name="wrong key", questions=questions, clients=1, seconds=0.2)
    assert bad.requests == 0
    assert bad.errors > 0
    once = run(corpus.url, key, name="once", questions=questions, clients=2, seconds=5, repeat=False)
    assert once.requests == len(questions)
