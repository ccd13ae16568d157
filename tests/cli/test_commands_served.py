"""The commands through a running server, and processes that are ended."""

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.commands import run, start, told, wait_for_server


@pytest.mark.slow
def test_commands_go_through_the_running_server(data: Path, docs: Path, server: str) -> None:
    queued = told(data, "ingest", str(docs), "--no-wait")["tasks"][0]
    status = told(data, "tasks", "show", queued["task_id"], "--follow")
    assert status["state"] == "SUCCESS"
    assert "five years" in told(data, "ask", "How long is the warranty of the P40 pump?")["answer"]
    streamed = run(data, "ask", "Who signed the lease of the warehouse?", "--stream")
    assert "signed by Ada" in streamed.stdout
    second = run(data, "serve", "--port", "0")
    assert second.exit_code == 1
    assert "in use by process" in second.stderr
    assert "(serve)" in second.stderr
    quick = run(data, "quickstart", "--json")
    assert json.loads(quick.stdout)["code"] == "data_directory_in_use"
    assert server in quick.stdout


def test_a_port_in_use_is_a_clear_error(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run(data, "quickstart", "--port", str(taken.getsockname()[1]), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["code"] == "port_in_use"


@pytest.mark.slow
def test_a_server_killed_leaves_nothing_in_the_way(data: Path, docs: Path) -> None:
    process = start(data, "serve", "--port", "0")
    wait_for_server(data, process)
    run(data, "ingest", str(docs))
    process.kill()
    process.communicate(timeout=10)
    assert (data / "server.json").exists()  # what it wrote about itself is still there, and must not be believed
    assert len(told(data, "documents", "list")["documents"]) == 2


def many(folder: Path) -> Path:
    folder.mkdir()
    for number in range(400):
        words = " ".join(f"word{number}x{place}" for place in range(60))
        (folder / f"{number}.txt").write_text(f"Number {number}. {words}", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_quickstart_that_is_ended_while_it_takes_documents_in_goes_on_the_next_time(data: Path, tmp_path: Path) -> None:
    folder = many(tmp_path / "many")
    process = start(data, "quickstart", str(folder), "--port", "0")
    assert process.stderr is not None
    while "/400 documents" not in (line := process.stderr.readline()):
        assert line
    for _ in range(2):  # the second one while it is closed
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.endswith("Interrupted.\n")
    assert "Traceback" not in errors
    again = run(data, "quickstart", str(folder), "--no-serve")
    assert again.exit_code == 0, again.stderr
    assert [one["documents"] for one in told(data, "collections", "list")["collections"]] == [400]


@pytest.mark.slow
def test_ctrl_c_says_that_the_task_goes_on_and_it_does(data: Path, tmp_path: Path) -> None:
    folder = many(tmp_path / "many")
    process = start(data, "ingest", str(folder))
    assert process.stderr is not None
    seen = ""
    while "/400 documents" not in seen:  # the first line of progress
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "tasks show" in errors
    task_id = errors.split("tasks show ")[1].split()[0]
    done = told(data, "tasks", "show", task_id, "--follow")
    assert done["state"] == "SUCCESS"
    assert done["total"] == 400
    assert [one["documents"] for one in told(data, "collections", "list")["collections"]] == [400]
