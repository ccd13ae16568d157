"""The commands at work, in process on a data directory of their own."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from tests.cli.commands import run, told


@pytest.mark.slow
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


@pytest.mark.slow
def test_printed_answers_have_numbered_places_and_no_colours(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs))
    result = run(data, "ask", "How long is the warranty of the P40 pump?")
    assert result.exit_code == 0
    assert f"[1] {docs / 'pump.txt'}" in result.stdout
    assert "The P40 pump has a warranty of five years. [1]" in result.stdout
    assert "\x1b" not in result.output
    streamed = run(data, "ask", "How long is the warranty of the P40 pump?", "--stream")
    assert "The P40 pump has a warranty of five years. [1]" in streamed.stdout


@pytest.mark.slow
def test_a_refusal_says_why(data: Path) -> None:
    result = run(data, "ask", "How long is the warranty?")
    assert result.exit_code == 0
    assert "The documents do not answer this." in result.stdout
    assert "The collection holds no documents yet." in result.stdout


@pytest.mark.slow
def test_the_second_ingestion_skips_and_sync_removes(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs))
    (docs / "lease.txt").unlink()
    again = told(data, "ingest", str(docs))["tasks"][0]["result"]
    assert (again["documents_processed"], again["documents_skipped"], again["documents_removed"]) == (0, 1, 0)
    synced = told(data, "ingest", str(docs), "--sync")["tasks"][0]["result"]
    assert synced["documents_removed"] == 1
    assert [d["source"] for d in told(data, "documents", "list")["documents"]] == [str(docs / "pump.txt")]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_deleting_documents_and_collections(data: Path, docs: Path) -> None:
    run(data, "ingest", str(docs), "--collection", "papers")
    ids = [str(d["id"]) for d in told(data, "documents", "list")["documents"]]
    partly = run(data, "documents", "delete", ids[0], "999")
    assert partly.exit_code == 3
    assert "1 deleted, 1 not found." in partly.stdout
    assert run(data, "documents", "delete", "999").exit_code == 1
    for other in ("papers#2", "papers?", "nowhere/../papers"):
        assert run(data, "collections", "delete", other, "--yes").exit_code != 0, other
    assert "papers" in {c["name"] for c in told(data, "collections", "list")["collections"]}
    assert run(data, "collections", "delete", "papers", "--yes").exit_code == 0
    assert [c["name"] for c in told(data, "collections", "list")["collections"]] == ["default"]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_context_on_the_command_line(data: Path, docs: Path) -> None:
    assert run(data, "ingest", str(docs)).exit_code == 0
    result = run(data, "search", "warranty of the pump", "-k", "1", "--expand", "document", "--compress", "16")
    assert result.exit_code == 0, result.output
    assert "Context: " in result.output
    assert "left out" in result.output
    assert "warranty of five years." in result.output
