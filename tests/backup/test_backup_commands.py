"""Backups over HTTP and on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from tests.web.conftest import Service, open_service  # noqa: F401 - a fixture


def run(data: Path, *arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--data-dir", str(data), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_EMBEDDER", "hash")
    monkeypatch.setenv("RAG_APPLIANCE_GENERATOR", "none")


@pytest.mark.slow
def test_over_http(open_service: Callable[..., Service], tmp_path: Path) -> None:  # noqa: F811
    service = open_service()
    service.add("letter.txt", "The boiler must be serviced every twelve months by a licensed engineer.")
    with service.client() as admin, service.client("editor") as editor:
        assert editor.get("/admin/backups").json()["code"] == "role_needed"
        assert admin.get("/admin/backups").json()["backups"] == []
        assert admin.post("/admin/backups", json={"folder": "relative"}).status_code == 400
        missing = admin.post("/admin/backups", json={"folder": str(tmp_path / "nowhere")})
        assert (missing.status_code, missing.json()["code"]) == (404, "backup_folder_missing")

        def ended(response: Any) -> dict[str, Any]:
            assert response.status_code == 202, response.text
            job: dict[str, Any] = response.json()
            while job["state"] in ("PENDING", "PROGRESS"):
                job = admin.get(f"/admin/backups/jobs/{job['id']}").json()
            assert job["state"] == "SUCCESS", job
            while service.appliance.backups.at_work:
                pass
            return job

        made = ended(admin.post("/admin/backups", json={}))["result"]
        ended(admin.post("/admin/backups", json={"keep": 2}))
        assert ended(admin.post("/admin/backups/latest/verify", json={}))["result"]["problems"] == []
        listed = admin.get("/admin/backups").json()
        assert [backup["full"] for backup in listed["backups"]] == [True, False]
        assert listed["job"]["name"] == "verify"
        assert admin.post("/admin/backups/../verify", json={}).status_code in (404, 405)
        assert admin.post("/admin/backups/x/verify", json={}).json()["code"] == "unknown_backup"
        assert admin.delete(f"/admin/backups/{made['id']}").json()["removed"] == [made["id"]]
        assert admin.post("/admin/backups/prune", json={"keep": 1}).json()["removed"] == []
        metrics = admin.get("/metrics").text
        [newest] = [line for line in metrics.splitlines() if line.startswith("rag_last_backup_timestamp_seconds")]
        assert float(newest.split()[1]) == pytest.approx(listed["backups"][1]["taken_at"])


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    data, disk, there = tmp_path / "data", tmp_path / "disk", tmp_path / "there"
    (tmp_path / "letter.txt").write_text("The boiler must be serviced every twelve months by a licensed engineer.")
    disk.mkdir()
    run(data, "ingest", tmp_path / "letter.txt")
    assert run(data, "backup", "list") == {"backups": []}
    made = run(data, "backup", "create", "--to", disk)["result"]
    assert made["documents"] == 1
    assert [b["id"] for b in run(data, "backup", "list", "--from", disk)["backups"]] == [made["id"]]
    proved = run(data, "backup", "verify", "--from", disk)["result"]
    assert (proved["backup_id"], proved["searches"]) == (made["id"], 1)
    assert run(there, "backup", "restore", "--from", disk)["restored"]["documents"] == 1
    assert not (there / "index" / "1").exists()
    hits = run(there, "search", "who services the boiler")["hits"]
    assert hits[0]["source"].endswith("letter.txt")
    assert run(data, "backup", "restore", "--from", disk, code=1)["code"] == "data_directory_not_empty"
    run(data, "backup", "restore", made["id"], "--from", disk, "--force")
    [finding] = [f for f in run(data, "doctor", code=0)["findings"] if f["check"] == "backups"]
    assert (finding["severity"], finding["detail"][:4]) == ("notice", "none")
    pack = next((disk / "packs").iterdir())
    pack.write_bytes(pack.read_bytes().replace(b"boiler", b"toiler"))
    assert run(data, "backup", "verify", "--from", disk, code=1)["code"] == "backup_damaged"
    assert run(data, "backup", "remove", made["id"], "--from", disk)["freed_bytes"] > 0


@pytest.mark.slow
def test_doctor_warns_when_a_backup_is_overdue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_BACKUP_EVERY", "24")
    [finding] = [f for f in run(tmp_path, "doctor", code=3)["findings"] if f["check"] == "backups"]
    assert finding["severity"] == "warning"
