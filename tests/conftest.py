"""Fixtures that several folders of tests share; everything in them is real."""

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import onnxruntime
import pytest

from appliance import airgap
from appliance.app import Appliance
from appliance.config import load_settings
from appliance.telemetry.log import OFTEN

ROOT = Path(__file__).resolve().parent.parent


def pytest_report_header() -> str:
    return f"sqlite {apsw.sqlite_lib_version()}, onnxruntime {onnxruntime.__version__}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests do not reach the tests."""
    for name in list(os.environ):
        if name.startswith("RAG_APPLIANCE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's lock cannot be taken off again: commands run in the tests' own process do not take it."""
    monkeypatch.setattr(airgap, "enforce", lambda mode: airgap.in_force())


@pytest.fixture(autouse=True)
def _log_written() -> Iterator[None]:
    """Lines of the log that wait belong to the test that wrote them, not to the terminal."""
    yield
    OFTEN.flush()


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    """A whole appliance on an empty data directory, with the hash embedder and no generator."""
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="tests") as opened:
        yield opened


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The folder of public evaluation data; tests that need it skip where it is not."""
    folder = Path(os.environ.get("RAG_EVAL_DATA", ROOT.parent / "shared" / "eval"))
    if not folder.is_dir():
        pytest.skip(f"no evaluation data at {folder}; name its folder in RAG_EVAL_DATA")
    return folder
