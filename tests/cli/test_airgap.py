"""`doctor --airgap`: of a locked server, of one that is not, of none, and of a page that loads from elsewhere."""

import json
from pathlib import Path

import pytest

from appliance.cli.airgap import findings
from appliance.cli.findings import Finding
from appliance.cli.invocation import Invocation
from tests.cli.commands import run, start, stop, wait_for_server


@pytest.mark.usefixtures("server")
def test_a_server_cannot_leave_its_host(data: Path) -> None:
    result = run(data, "doctor", "--airgap", "--json")
    assert result.exit_code == 0, result.output
    found = {one["check"]: one["detail"] for one in json.loads(result.stdout)["findings"]}
    assert found["kernel's lock"].startswith("in force")
    assert found["TCP over IPv4"] == "refused by the kernel (EACCES)"
    assert found["connections"].startswith("none outward; 1 listening")


@pytest.mark.slow
def test_a_server_without_the_lock_is_told_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_AIRGAP", "off")
    process = start(data, "serve", "--port", "0")
    try:
        wait_for_server(data, process)
        result = run(data, "doctor", "--airgap")
    finally:
        stop(process)
    assert result.exit_code == 3
    assert "kernel's lock: not in force, so nothing was tried" in result.stdout
    assert "TCP" not in result.stdout


@pytest.mark.slow
def test_without_a_server_there_is_nothing_to_examine(data: Path) -> None:
    result = run(data, "doctor", "--airgap")
    assert result.exit_code == 1
    assert "only a running server can be examined" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", "<script src='//cdn.example.org/a.js'></script>"),
        ("a.css", "body { background: url(https://cdn.example.org/a.png) }"),
        ("a.js", 'import "https://cdn.example.org/a.js"'),
    ],
)
def test_a_page_that_loads_from_elsewhere_is_found(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    def pages() -> Finding:
        *_, last = findings(Invocation("doctor", data, None, False, False))
        return last

    assert pages().severity == "ok"
    package = tmp_path / "package"
    package.mkdir()
    (package / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr("appliance.cli.airgap.PACKAGE", package)
    assert (pages().severity, pages().detail) == ("error", f"{name} load from elsewhere")
