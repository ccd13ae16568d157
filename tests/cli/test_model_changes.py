"""`models use|changes|cancel|rollback|discard`, in process and through a running server."""

import json
import signal
from pathlib import Path

import pytest

from tests.cli.commands import run, start, told, wait_for_server

INT8 = "minilm-l6-v2.int8"
WORDS = ("pump", "filter", "lease", "boiler", "valve", "ledger", "orchard", "harbour", "violin", "glacier")


@pytest.fixture
def hashed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory whose default collection uses the hash embedder."""
    monkeypatch.setenv("RAG_APPLIANCE_EMBEDDER", "hash")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        word = WORDS[number % len(WORDS)]
        text = f"The {word} number {number} was made in the year {1900 + number} by hand. It has {number} {word} parts."
        (folder / f"{number}.txt").write_text(text, "utf-8")
    assert run(data, "ingest", str(folder)).exit_code == 0
    return data


@pytest.mark.slow
def test_used_shown_rolled_back_and_discarded(hashed: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps({"question": f"When was {WORDS[n]} number {n} made?", "source": f"{n}.txt"}) for n in range(8)]
    questions.write_text("\n".join([*lines, "", "Which one is made by hand?"]), "utf-8")
    used = run(hashed, "models", "use", INT8, "--questions", str(questions), "--tolerance", "1", "--min-overlap", "0")
    assert used.exit_code == 0, used.output
    assert f"default uses {INT8} now" in used.output
    for column in ("8 judged", "1 plain", "recall@10", "MRR@10", "overlap@10"):
        assert column in used.output
    listed = run(hashed, "models", "changes").output
    assert "SUCCESS" in listed
    assert "30/30" in listed
    [change] = told(hashed, "models", "changes")["changes"]
    assert told(hashed, "models", "changes", change["change_id"]) == change
    assert "8 judged" in run(hashed, "models", "changes", change["change_id"]).output
    assert told(hashed, "search", "violin", "--alpha", "1")["hits"]
    back = run(hashed, "models", "rollback", "--no-wait")  # nobody else would do the work
    assert back.exit_code == 0, back.output
    assert "default uses hash now" in back.output
    assert "Removed." in run(hashed, "models", "discard").output
    assert "only the vectors that serve" in run(hashed, "models", "discard").output
    refused = run(hashed, "models", "rollback", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["code"]) == (1, "nothing_to_roll_back")


@pytest.mark.slow
def test_a_refusal_shows_the_figures_and_what_to_do(hashed: Path, tmp_path: Path) -> None:
    plain = tmp_path / "questions.txt"
    plain.write_text("Which instrument has strings?\nWhat is cold and moves slowly?\n", "utf-8")
    arguments = ("models", "use", INT8, "--questions", str(plain), "--min-overlap", "1", "--tolerance", "1")
    refused = run(hashed, *arguments)
    assert refused.exit_code == 1
    assert "2 plain" in refused.output
    assert "default keeps hash:" in refused.output
    assert "of the first 10 hits are the same for your questions; at least 100% were wanted" in refused.output
    assert "hint: The vectors are kept" in refused.output
    forced = run(hashed, *arguments, "--force")
    assert forced.exit_code == 0, forced.output
    assert "although it is worse (--force)" in forced.output


@pytest.mark.slow
def test_other_models_are_settings_and_mistakes_are_told(hashed: Path, tmp_path: Path) -> None:
    assert "generator: smollm2-135m-instruct.q8_0" in run(hashed, "models", "use", "smollm2-135m-instruct.q8_0").output
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"question": "a"}\n{"question": \n', "utf-8")
    for arguments, code in (
        (("models", "use", "nothing"), "unknown_model"),
        (("models", "use", "hash"), "model_in_use"),
        (("models", "use", INT8, "--collection", "nothing"), "unknown_collection"),
        (("models", "use", INT8, "--questions", str(broken)), "invalid_request"),
        (("models", "changes", "nothing"), "unknown_model_change"),
        (("models", "cancel", "nothing"), "unknown_model_change"),
    ):
        failed = run(hashed, *arguments, "--json")
        assert failed.exit_code == (2 if code == "invalid_request" else 1)
        assert json.loads(failed.stdout)["code"] == code
    assert "line 2 is not JSON" in run(hashed, "models", "use", INT8, "--questions", str(broken)).output
    assert "No changes." in run(hashed, "models", "changes").output


@pytest.mark.slow
def test_through_a_running_server(hashed: Path) -> None:
    server = start(hashed, "serve", "--port", "0")
    try:
        wait_for_server(hashed, server)
        begun = told(hashed, "models", "use", INT8, "--force", "--no-wait")
        assert begun["state"] in {"PENDING", "PROGRESS", "SUCCESS"}
        followed = run(hashed, "models", "changes", begun["change_id"], "--follow")
        assert f"default uses {INT8} now" in followed.output
        cancelled = run(hashed, "models", "cancel", begun["change_id"], "--json")
        assert json.loads(cancelled.stdout)["code"] == "model_change_finished"
        assert told(hashed, "models", "rollback")["state"] == "SUCCESS"
        assert told(hashed, "search", "violin")["hits"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
