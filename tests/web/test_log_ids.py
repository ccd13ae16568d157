"""Every line of a real server's log about a question or a task carries its id, and every error has that of its line."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.config import bare_environment
from appliance.paths import DataPaths

OF_NO_REQUEST = {  # lines of the process itself
    *("serving", "stopped", "airgap", "library_log", "index_opened", "index_loaded", "startup", "started"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    environment = bare_environment() | {
        "RAG_APPLIANCE_EMBEDDER": "hash", "RAG_APPLIANCE_GENERATOR": "scripted", "RAG_APPLIANCE_LOG_FORMAT": "json",
        "RAG_APPLIANCE_LOG_LEVEL": "debug", "RAG_APPLIANCE_THREADS": "2", "RAG_APPLIANCE_ABSTAIN_BELOW": "-1",
    }  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=out)
    try:
        path, until = DataPaths(tmp_path / "data").server, time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.1)
        told = json.loads(path.read_text("utf-8"))
        headers = {"X-API-Key": told["key"]}
        with httpx.Client(base_url=told["url"], headers=headers, timeout=30, trust_env=False) as client:
            yield client, log
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(client: httpx.Client, number: int, found: list[httpx.Response]) -> None:
    """Questions, errors of many kinds, and callers who leave."""
    for turn in range(12):
        kind, text = (number + turn) % 6, f"Who keeps the boiler number {turn}?"
        if kind == 0:
            found.append(client.post("/query", json={"question": ""}))
        elif kind == 1:
            found.append(client.post("/query", content=b"{", headers={"content-type": "application/json"}))
        elif kind == 2:
            found.append(client.post("/search", json={"question": text, "collection": "nowhere"}))
        elif kind == 3:
            try:
                client.post("/query", json={"question": f"{text} {number}", "mode": "generative"}, timeout=0.005)
            except httpx.TimeoutException:
                continue
        else:
            found.append(client.post("/query", json={"question": text, "mode": "generative"}))


@pytest.mark.slow
def test_every_line_has_the_id_of_its_question_or_task(server: tuple[httpx.Client, Path]) -> None:
    client, log = server
    files = [("file", (f"{n}.txt", f"Ada keeps the boiler number {n}.".encode())) for n in range(40)]
    files.append(("file", ("broken.pdf", b"%PDF-1.7 broken")))
    task = client.post("/ingest", files=files).json()["task_id"]
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=ask, args=(client, number, answers)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers += [client.get("/tasks/none"), client.delete("/documents/77"), client.get("/nothing")]
    answers.append(client.post("/v1/chat/completions", json={"model": "none", "messages": []}))
    answers.append(httpx.get(f"{client.base_url}/tasks", trust_env=False))
    while client.get(f"/tasks/{task}").json()["state"] not in {"SUCCESS", "FAILURE"}:
        time.sleep(0.1)
    time.sleep(0.2)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    check_answers(answers, {line["query_id"]: line for line in lines if line["event"] == "request"})
    named = [line for line in lines if "query_id" in line or "task" in line]
    assert {line["task"] for line in named if "task" in line} == {task}
    assert len({line["event"] for line in named}) > 2
    within = ("appliance.web", "appliance.search", "appliance.answer", "appliance.ingest", "appliance.asking")
    for line in lines:
        if line["component"].startswith(within) and line["event"] not in OF_NO_REQUEST:
            assert "query_id" in line or "task" in line, line


def check_answers(answers: list[httpx.Response], requests: dict[str, dict[str, Any]]) -> None:
    """The id of the header is that of the body, of an error as of an answer, and has one line in the log."""
    assert len({answer.status_code for answer in answers}) > 3
    for answer in answers:
        query_id = answer.headers["x-query-id"]
        body = answer.json()
        told = body.get("query_id") or body.get("error", {}).get("query_id")
        assert told == query_id, body
        line = requests[query_id]
        assert line["status"] == answer.status_code
        if answer.status_code >= 400:
            assert line["code"] == (body.get("code") or body["error"]["code"])


@pytest.mark.slow
def test_nothing_is_left_of_the_log_when_the_server_stops(tmp_path: Path) -> None:
    """Lines that waited for others are written before the last one."""
    environment = bare_environment() | {"RAG_APPLIANCE_EMBEDDER": "hash", "RAG_APPLIANCE_GENERATOR": "none"}
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(
        command, env={**environment, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    path, until = DataPaths(tmp_path / "data").server, time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.1)
    told = json.loads(path.read_text("utf-8"))
    with httpx.Client(base_url=told["url"], headers={"X-API-Key": told["key"]}, trust_env=False) as client:
        ids = {client.post("/query", json={"question": "Who?"}).headers["x-query-id"] for _ in range(50)}
    process.terminate()
    _, errors = process.communicate(timeout=30)
    lines = [json.loads(line) for line in errors.decode().splitlines() if line.startswith("{")]
    assert {line["query_id"] for line in lines if line["event"] == "request" and line["route"] == "/query"} == ids
    assert lines[-1]["event"] == "stopped"
