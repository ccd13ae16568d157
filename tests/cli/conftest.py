"""Documents, a data directory and a server for the tests of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import SETTINGS, start, stop, wait_for_server

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


@pytest.fixture
def server(data: Path) -> Iterator[str]:
    process = start(data, "serve", "--port", "0")
    try:
        yield wait_for_server(data, process)
    finally:
        stop(process)
    assert process.returncode == 0
