"""The commands at work: in process on a data directory of their own, and through a running server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.cli.root import cli

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"RAG_APPLIANCE_GENERATOR": "none"}
PUMP = "The P40 pump has a warranty of five years.\n\nIts filter is changed every six months."
LEASE = "The lease of the warehouse was signed by Ada in 1843."


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pump.txt").write_text(PUMP, encoding="utf-8")
    (folder / "lease.txt").write_text(LEASE, encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory, and no generator."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "data"


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data-dir", str(data)])


def told(data: Path, *arguments: str) -> Any:
    """The JSON document of a command that must succeed."""
    result = run(data, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def start(data: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "appliance", *arguments, "--data-dir", str(data)]
    environment = {**os.environ, **SETTINGS}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    """A shell's background job ignores SIGINT, and so would all its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_server(data: Path, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (data / "server.json").exists():
            return str(json.loads((data / "server.json").read_text("utf-8"))["url"])
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {process.communicate(timeout=10)}")


def stop(process: "subprocess.Popen[str]") -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)


@pytest.fixture
def server(data: Path) -> Iterator[str]:
    process = start(data, "serve", "--port", "0")
    try:
        yield wait_for_server(data, process)
    finally:
        stop(process)
    assert process.returncode == 0


# --- in process ------------------------------------------------------------------------------------------------------


def test_ingest_search_ask_and_cite(data: Path, docs: Path) -> None:
    done = told(data, "ingest", str(docs))["tasks"][0]
    assert done["state"] == "SUCCESS"
    assert done["result"]["documents_processed"] == 2

    found = told(data, "search", "warranty of the P40 pump")
    assert found["hits"][0]["source"] == str(docs / "pump.txt")

    answer = told(data, "ask", "How long is the warranty of the P40 pump?")
    citation = answer["claims"][0]["citations"][0]
    text = told(data, "documents", "text", str(citation["document_id"]))["text"]
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert "five years" in answer["answer"]


def test_printed_answers_have_numbered_places_and_no_colours(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs))
    result = run(data, "ask", "How long is the warranty of the P40 pump?")
    assert result.exit_code == 0
    assert f"[1] {docs / 'pump.txt'}" in result.stdout
    assert "The P40 pump has a warranty of five years. [1]" in result.stdout
    assert "\x1b" not in result.output
    streamed = run(data, "ask", "How long is the warranty of the P40 pump?", "--stream")
    assert "The P40 pump has a warranty of five years. [1]" in streamed.stdout


def test_a_refusal_says_why(data: Path) -> None:
    result = run(data, "ask", "How long is the warranty?")
    assert result.exit_code == 0
    assert "The documents do not answer this." in result.stdout
    assert "The collection holds no documents yet." in result.stdout


def test_the_second_ingestion_skips_and_sync_removes(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs))
    (docs / "lease.txt").unlink()
    again = told(data, "ingest", str(docs))["tasks"][0]["result"]
    assert (again["documents_processed"], again["documents_skipped"], again["documents_removed"]) == (0, 1, 0)
    synced = told(data, "ingest", str(docs), "--sync")["tasks"][0]["result"]
    assert synced["documents_removed"] == 1
    assert [d["source"] for d in told(data, "documents", "list")["documents"]] == [str(docs / "pump.txt")]


def test_failed_documents_are_named_and_the_exit_code_is_3(data: Path, docs: Path) -> None:
    (docs / "program.bin").write_bytes(b"\x7fELF" + bytes(range(256)) * 8)
    result = run(data, "ingest", str(docs))
    assert result.exit_code == 3
    assert "2 ingested" in result.stdout
    assert "1 failed" in result.stdout
    assert f"failed: {docs / 'program.bin'}" in result.stderr
    assert "(unsupported)" in result.stderr
    dead = told(data, "tasks", "dead")["documents"]
    assert [(d["source"], d["code"]) for d in dead] == [(str(docs / "program.bin"), "unsupported")]
    only = run(data, "ingest", str(docs / "program.bin"))
    assert only.exit_code == 1


def test_metadata_and_filters(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs / "pump.txt"), "--metadata", "year=2024", "--metadata", "kind=manual")
    run(data, "ingest", str(docs / "lease.txt"), "--metadata", "year=1843")
    shown = told(data, "documents", "show", "1")
    assert shown["metadata"]["year"] == 2024
    assert shown["metadata"]["kind"] == "manual"
    found = told(data, "search", "warranty pump lease warehouse", "--filter", "year < 1900")
    assert {hit["source"] for hit in found["hits"]} == {str(docs / "lease.txt")}
    wrong = run(data, "search", "pump", "--filter", "year >=")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("error: The filter cannot be read")


def test_deleting_documents_and_collections(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs), "--collection", "papers")
    ids = [str(d["id"]) for d in told(data, "documents", "list")["documents"]]
    partly = run(data, "documents", "delete", ids[0], "999")
    assert partly.exit_code == 3
    assert "1 deleted, 1 not found." in partly.stdout
    assert run(data, "documents", "delete", "999").exit_code == 1
    assert run(data, "collections", "delete", "papers", "--yes").exit_code == 0
    assert [c["name"] for c in told(data, "collections", "list")["collections"]] == ["default"]


def test_keys_are_made_listed_and_revoked(data: Path) -> None:
    first = run(data, "keys", "list")
    assert "First admin key" in first.stderr
    assert "First admin key" not in run(data, "keys", "list").stderr  # shown once
    made = told(data, "keys", "create", "reports", "--role", "editor")
    assert made["key"].startswith("rag_")
    assert run(data, "keys", "revoke", made["id"]).exit_code == 0
    revoked = {key["id"]: key["revoked_at"] for key in told(data, "keys", "list")["keys"]}
    assert revoked[made["id"]] is not None
    assert made["key"] not in run(data, "keys", "list").output
    assert run(data, "keys", "revoke", "nothing").exit_code == 1


def test_cache_index_and_models_commands(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs))
    question = ("ask", "How long is the warranty of the P40 pump?")
    assert told(data, *question)["cache_hit"] is False
    assert told(data, *question)["cache_hit"] is True
    assert told(data, "cache", "stats")["entries"] == 1
    assert told(data, "cache", "clear")["removed"] == 1
    assert told(data, "index", "status")["indexes"][0]["collection"] == "default"
    assert told(data, "index", "verify") == {"collection": "default", "problems": []}
    assert run(data, "index", "rebuild").exit_code == 0
    assert run(data, "models", "use", "nothing").exit_code == 1


def test_doctor_looks_at_everything(data: Path) -> None:
    result = run(data, "doctor", "--json")
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert {"version", "processor", "memory", "settings", "disk", "database", "index of default"} <= findings.keys()
    assert findings["database"]["severity"] == "ok"


def test_doctor_with_wrong_settings_lists_them_and_fails(data: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("prot: 1\nmax_k: 0\n", encoding="utf-8")
    result = run(data, "doctor", "--config", str(wrong))
    assert result.exit_code == 1
    assert result.stdout.count("FAIL  settings: ") == 2


def test_quickstart_answers_from_the_handbook_and_then_from_own_documents(data: Path, docs: Path) -> None:
    first = run(data, "quickstart", "--no-serve")
    assert first.exit_code == 0, first.output
    assert "keys revoke" in first.stdout
    assert "[1] handbook/" in first.stdout
    again = run(data, "quickstart", "--no-serve")
    assert "0 ingested" in again.stdout
    own = run(data, "quickstart", str(docs), "--no-serve")
    assert "it is taken out of the collection default" in own.stdout
    sources = {d["source"] for d in told(data, "documents", "list")["documents"]}
    assert sources == {str(docs / "pump.txt"), str(docs / "lease.txt")}
    bare = run(data, "quickstart", "--no-serve")
    assert "holds 2 documents of your own" in bare.stdout


# --- through a server ------------------------------------------------------------------------------------------------


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


def test_a_server_killed_leaves_nothing_in_the_way(data: Path, docs: Path) -> None:
    process = start(data, "serve", "--port", "0")
    wait_for_server(data, process)
    run(data, "ingest", str(docs))
    process.kill()
    process.communicate(timeout=10)
    assert (data / "server.json").exists()  # what it wrote about itself is still there, and must not be believed
    assert len(told(data, "documents", "list")["documents"]) == 2


def test_ctrl_c_says_that_the_task_goes_on_and_it_does(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        words = " ".join(f"word{number}x{place}" for place in range(60))
        (folder / f"{number}.txt").write_text(f"Number {number}. {words}", encoding="utf-8")
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


def test_a_conversation_on_the_command_line(data: Path, docs: Path, tmp_path: Path) -> None:
    assert run(data, "ingest", str(docs)).exit_code == 0
    lines = "How long is the warranty of the P40 pump?\n\nand how often is its filter changed?\n"
    result = CliRunner().invoke(cli, ["ask", "--chat", "--json", "--data-dir", str(data)], input=lines)
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)["answers"]
    assert "five years" in first["answer"]
    assert first["condensed_question"] == ""
    assert "six months" in second["answer"]
    assert "P40" in second["condensed_question"]

    turns = tmp_path / "turns.json"
    turns.write_text(json.dumps([{"role": "user", "content": "Who signed the lease of the warehouse?"}]))
    found = told(data, "search", "And when?", "--history", str(turns), "-k", "1")
    assert "lease" in found["condensed_question"]
    assert "1843" in found["hits"][0]["text"]
    shown = run(data, "ask", "And when?", "--history", str(turns))
    assert "Asked: And when? (" in shown.output

    for content in ("[", "{}"):
        turns.write_text(content)
        assert run(data, "search", "And when?", "--history", str(turns)).exit_code == 1
    assert run(data, "ask").exit_code == 2


def test_a_context_on_the_command_line(data: Path, docs: Path) -> None:
    assert run(data, "ingest", str(docs)).exit_code == 0
    result = run(data, "search", "warranty of the pump", "-k", "1", "--expand", "document", "--compress", "16")
    assert result.exit_code == 0, result.output
    assert "Context: " in result.output
    assert "left out" in result.output
    assert "warranty of five years." in result.output
