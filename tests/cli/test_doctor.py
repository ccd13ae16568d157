"""`doctor`: every finding has a stable id and a hint, and a host, settings or data that are not well are found out."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance import __version__
from appliance.backup.repository import Repository
from appliance.cli.checks import CHECKS, configuration, files, host
from appliance.config import LoadedSettings, Settings
from appliance.monitoring import export
from appliance.paths import DataPaths
from tests.cli.test_metadata_commands import run

__all__ = ["run"]  # a fixture


def looked(run: Any, *arguments: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Findings by id."""
    result = run("doctor", "--json", *arguments)
    assert result.exit_code == code, result.output
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["id"], []).append(finding)
    return found


@pytest.mark.slow
def test_all_checks_are_listed_and_every_fault_has_a_hint(run: Any) -> None:
    found = looked(run)
    assert found.keys() <= CHECKS.keys()
    assert CHECKS.keys() - found.keys() == {"owner", "appliance"}
    for finding in (one for of in found.values() for one in of):
        assert finding["severity"] in {"ok", "notice", "warning", "error"}
        assert finding["hint"] or finding["severity"] == "ok", finding
    assert found["database"][0]["severity"] == "ok"
    assert found["clock"][0]["severity"] in {"ok", "notice"}


def test_quick_reads_no_data(run: Any) -> None:
    found = looked(run, "--quick")
    assert not {"model_files", "database", "index", "index_files"} & found.keys()
    assert {"part", "collection_size", "dead_documents"} <= found.keys()


def test_warnings_decide_the_exit_code(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_LOG_QUESTIONS", "true")
    assert any("log_questions" in one["detail"] for one in looked(run, "--quick", code=3)["configuration"])
    looked(run, "--quick", "--strict", code=1)
    monkeypatch.setenv("RAG_APPLIANCE_LOG_QUESTIONS", "maybe")
    assert looked(run, code=1)["settings"][0]["severity"] == "error"


@pytest.mark.slow
def test_a_damaged_database_and_a_torn_list_of_models_are_found(run: Any, tmp_path: Path) -> None:
    looked(run, "--quick")
    database = tmp_path / "data" / "appliance.db"
    content = bytearray(database.read_bytes())
    content[:4096] = os.urandom(4096)
    database.write_bytes(content)
    for name in ("appliance.db-wal", "appliance.db-shm"):
        (tmp_path / "data" / name).unlink(missing_ok=True)
    found = looked(run, code=1)
    assert found["appliance"][0]["severity"] == "error"
    assert found["model_files"][0]["severity"] == "ok"
    assert "clock" in found
    (tmp_path / "data" / "models").mkdir(exist_ok=True)
    (tmp_path / "data" / "models" / "models.lock.json").write_text("{")
    assert looked(run, code=1)["model_files"][0]["severity"] == "error"


@pytest.mark.slow
def test_a_model_with_another_hash_is_named(tmp_path: Path, run: Any) -> None:
    looked(run, "--quick")
    folder = tmp_path / "data" / "models"
    (folder / "mine.gguf").write_bytes(b"GGUF")
    entry = {"name": "mine", "file": "mine.gguf", "kind": "generator", "format": "GGUF", "licence": "", "size": 4}
    lock = {"format": 1, "files": [{**entry, "tokenizer": None, "sha256": "0" * 64}]}
    (folder / "models.lock.json").write_text(json.dumps(lock))
    [wrong] = [one for one in looked(run, code=1)["model_files"] if one["severity"] == "error"]
    assert "mine.gguf" in wrong["detail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_data_of_another_user_are_not_opened(run: Any, tmp_path: Path) -> None:
    looked(run, "--quick")
    shutil.chown(tmp_path / "data", 65534, 65534)
    found = looked(run, "--quick", code=3)
    assert "belongs to" in found["owner"][0]["detail"]
    assert "server" not in found
    assert "clock" in found


@pytest.mark.slow
def test_beside_a_running_server(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    environment = {**os.environ, "RAG_APPLIANCE_EMBEDDER": "hash", "RAG_APPLIANCE_GENERATOR": "none"}
    appliance = [sys.executable, "-m", "appliance"]
    server = subprocess.Popen(
        [*appliance, "serve", "--port", "0", "--data-dir", data], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "data" / "server.json").exists() and time.monotonic() < until:
            time.sleep(0.1)
        command = [*appliance, "doctor", "--quick", "--json", "--data-dir", data]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert done.returncode == 0, done.stdout
    findings = {one["id"]: one for one in json.loads(done.stdout)["findings"]}
    assert findings["server"]["detail"].startswith("http://")
    assert findings["limits"]["detail"].startswith("the running server")


def severities(**settings: Any) -> dict[str, str]:
    """Severity of each finding about the configuration, by its first word."""
    loaded = LoadedSettings(Settings(**settings), {})
    return {one.detail.split()[0]: one.severity for one in configuration.findings(loaded)}


@pytest.mark.parametrize(
    ("settings", "setting", "severity"),
    [
        ({"auth": "off", "host": "0.0.0.0"}, "auth", "warning"),
        ({"auth": "off"}, "auth", "notice"),
        ({"host": "0.0.0.0"}, "it", "notice"),
        ({"airgap": "off"}, "airgap", "warning"),
        ({"airgap": "off", "otlp_endpoint": "http://127.0.0.1:4318"}, "airgap", "notice"),
        ({"ingest_roots": ["/"]}, "ingest_roots", "warning"),
        ({"log_questions": True}, "log_questions", "warning"),
        ({"log_level": "debug"}, "log_level", "notice"),
        ({"threads": 500}, "threads", "warning"),
        ({"cache_bytes": 0}, "cache_bytes", "warning"),
        ({"exact_scan_below": 2_000_000}, "exact_scan_below", "warning"),
        ({"query_concurrency": 1}, "query_concurrency", "notice"),
        ({"first_admin_key": "rag_" + "k" * 40}, "first_admin_key", "notice"),
    ],
)
def test_settings_that_are_seldom_meant(settings: dict[str, Any], setting: str, severity: str) -> None:
    assert severities(**settings)[setting] == severity


def test_the_defaults_are_meant() -> None:
    assert severities() == {"nothing": "ok"}


def test_the_clock_is_held_against_the_data_and_against_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    assert host.clock(host.offset(), now - 60).severity in {"ok", "notice"}
    assert host.clock(host.offset(), now + 3600).severity == "error"
    assert host.clock(host.offset() - 5, now).severity == "warning"
    monkeypatch.setattr("appliance.cli.checks.host.time.time", lambda: 1000.0)
    assert "1970" in host.clock(host.offset(), 0).detail
    assert host.clock(host.offset(), 0).severity == "error"


def test_limits_that_are_too_low() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
        [found] = host.limits(None, 128)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.severity == "warning"
    assert "LimitNOFILE" in found.hint
    [found] = host.limits(os.getpid(), 1)
    assert found.detail.startswith("the running server") or ".service" in found.detail


def test_a_certificate_of_this_host_and_program(tmp_path: Path) -> None:
    folder = tmp_path / "certificate"
    folder.mkdir()
    assert files.certificate(tmp_path).detail == "none"
    good = {"made": datetime.now(UTC).isoformat(), "program": __version__, "cores": len(os.sched_getaffinity(0))}

    def found(**changed: Any) -> tuple[str, str]:
        (folder / "capacity.json").write_text(json.dumps({**good, **changed}))
        finding = files.certificate(tmp_path)
        return finding.severity, finding.detail

    assert found()[0] == "ok"
    assert "older" in found(made="2026-01-02T03:04:05+00:00")[1]
    assert "version 0.0.1" in found(program="0.0.1")[1]
    assert "cores" in found(cores=999)[1]
    assert "another processor" in found(processor="Imaginary 9000")[1]
    assert "future" in found(made=datetime.fromtimestamp(time.time() + 86_400, UTC).isoformat())[1]
    (folder / "capacity.json").write_text("{")
    assert "cannot be read" in files.certificate(tmp_path).detail


@pytest.mark.parametrize(
    ("every", "age_days", "severity", "said"),
    [
        (0, 3, "ok", "72 h"),
        (0, 40, "notice", "960 h"),
        (24, 3, "warning", "72 h"),
        (24, 1, "ok", "24 h"),
        (24, -1, "warning", "future"),
    ],
)
def test_the_age_of_the_newest_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float, age_days: float, severity: str, said: str
) -> None:
    taken = SimpleNamespace(taken_at=time.time() - 86_400 * age_days, documents=7)
    monkeypatch.setattr(Repository, "all", lambda _: [taken])
    finding = files.backups(Settings(data_dir=tmp_path, threads=1, backup_every=every), DataPaths(tmp_path))
    assert finding.severity == severity
    assert said in finding.detail
    assert bool(finding.hint) == (severity != "ok")


@pytest.mark.slow
def test_a_damaged_index_is_told_before_it_is_mended(run: Any, tmp_path: Path) -> None:
    assert looked(run)["index_files"][0]["severity"] == "ok"
    folder = tmp_path / "data" / "index" / "1" / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    [found] = looked(run, code=3)["index_files"]
    assert str(folder) in found["detail"]
    assert "index_files" not in looked(run, "--quick")
    assert looked(run)["index_files"][0]["severity"] == "ok"


def test_monitoring_is_there_and_of_this_program(tmp_path: Path) -> None:
    assert files.monitoring(None).severity == "notice"
    assert files.monitoring(tmp_path).severity == "warning"
    written = export(tmp_path)
    assert files.monitoring(tmp_path).severity == "ok"
    rules = next(path for path in written if "alert" in path.name)
    rules.write_text(rules.read_text() + "# mine\n")
    assert files.monitoring(tmp_path).severity == "notice"
    rules.unlink()
    assert rules.name in files.monitoring(tmp_path).detail
