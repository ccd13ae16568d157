"""Erasing over HTTP and on the command line."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from tests.erasure.conftest import pieces, raw_hits, unique_text
from tests.web.conftest import Service, open_service  # noqa: F401 - a fixture

SECRET = unique_text("route")


@pytest.mark.slow
def test_over_http(open_service: Callable[..., Service]) -> None:  # noqa: F811
    service = open_service()
    service.add("secret.txt", SECRET)
    service.add("other.txt", unique_text("kept"))
    with service.client() as admin, service.client("editor") as editor:
        [secret, _] = admin.get("/documents").json()["documents"]
        question = {"question": SECRET.split(".")[4]}
        assert SECRET.split(".")[4].strip()[:20] in admin.post("/query", json=question).text
        refused = editor.post("/documents/erase", json={"ids": [secret["id"]]})
        assert (refused.status_code, refused.json()["code"]) == (403, "role_needed")
        assert admin.post("/documents/erase", json={"ids": [10**6]}).json()["code"] == "unknown_document"
        assert admin.post("/documents/erase", json={}).json()["code"] == "nothing_to_erase"
        assert admin.get("/documents/erasures/x").json()["code"] == "unknown_erasure"
        begun = admin.post("/documents/erase", json={"ids": [secret["id"], 10**6]})
        assert begun.status_code == 202
        assert admin.get(f"/documents/{secret['id']}").status_code == 404
        assert not [h for h in admin.post("/search", json=question).json()["hits"] if h["source"] == "secret.txt"]
        status = begun.json()
        while status["receipt"] is None:
            status = admin.get(f"/documents/erasures/{status['erasure_id']}").json()
        receipt = status["receipt"]
        assert receipt["verdict"] == "proved", receipt
        assert receipt["missing"] == [10**6]
        assert receipt["removed"]["cached_answers"] == 1
        assert [e["erasure_id"] for e in admin.get("/documents/erasures").json()["erasures"]] == [status["erasure_id"]]
    assert raw_hits(service.appliance.paths.root, *pieces(SECRET)) == {}


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    data, letter, receipt = tmp_path / "data", tmp_path / "letter.txt", tmp_path / "receipt.json"
    environment = {"RAG_APPLIANCE_GENERATOR": "none", "RAG_APPLIANCE_EMBEDDER": "hash"}

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner(env=environment).invoke(cli, [*arguments, "--data-dir", str(data)])
        return done.exit_code, done.output

    letter.write_text(SECRET, encoding="utf-8")
    assert run("ingest", str(letter))[0] == 0
    code, told = run("documents", "erase", "--source", str(letter), "--receipt", str(receipt))
    assert code == 0, told
    assert "Erased and proved." in told
    assert stat.S_IMODE(receipt.stat().st_mode) == 0o600
    written = json.loads(receipt.read_text(encoding="utf-8"))
    assert written["verdict"] == "proved"
    assert raw_hits(data, *pieces(SECRET), str(letter).encode()) == {}
    code, told = run("documents", "erase", "--deleted", "--receipt", str(receipt))
    assert code == 2
    assert "exists already" in told
    code, told = run("documents", "erasures", "--json")
    assert json.loads(told)["erasures"][0]["receipt"] == written
    code, told = run("documents", "erasures", written["erasure_id"])
    assert "Erased and proved." in told
    code, told = run("documents", "erase", "--deleted")
    assert (code, "Cleaned:" in told) == (0, True)
    (data / "planted").write_bytes(SECRET.encode())
    assert run("ingest", str(letter))[0] == 0
    code, told = run("documents", "erase", "1", "2", "--json")
    assert code == 1, told
    assert json.loads(told)["scan"]["places"][0]["file"] == "planted"
