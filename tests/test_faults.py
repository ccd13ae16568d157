"""Named steps: the registry and the calls agree, and only a torture directory can be armed."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import config, faults
from appliance.errors import ConfigError
from appliance.paths import PACKAGE

CALL = re.compile(r"\breached\(\s*\"([^\"]*)\"")


def called() -> list[str]:
    sources = (path for path in PACKAGE.rglob("*.py") if path.name != "faults.py")
    return [name for path in sources for name in CALL.findall(path.read_text(encoding="utf-8"))]


def test_every_step_is_reached_somewhere_and_every_call_names_a_step() -> None:
    assert set(called()) == set(faults.STEPS)


def test_every_call_names_its_step_to_the_letter() -> None:
    plain = re.compile(r"\breached\((?!\s*\")")
    for path in PACKAGE.rglob("*.py"):
        if path.name != "faults.py":
            assert not plain.search(path.read_text(encoding="utf-8")), path


def test_a_step_that_is_not_armed_does_nothing() -> None:
    for step in faults.STEPS:
        faults.reached(step)


@pytest.mark.parametrize(("fault", "survived"), [("ingest.committed", 0), ("ingest.committed:3", 2)])
def test_an_armed_step_ends_the_process_at_once(fault: str, survived: int) -> None:
    program = (
        "import atexit, sys\nfrom appliance import faults\natexit.register(print, 'exit handlers ran')\n"
        f"faults.arm({fault!r})\n"
        "for _ in range(5):\n    faults.reached('ingest.listed')\n    faults.reached('ingest.committed')\n"
        "    print('survived', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "survived\n" * survived


@pytest.mark.parametrize("fault", ["", "no.step", "ingest.committed:0", "ingest.committed:x", "ingest.committed:-1"])
def test_an_unknown_step_is_refused(fault: str) -> None:
    with pytest.raises(ValueError, match=r"step|number"):
        faults.arm(fault)


def test_an_ordinary_data_directory_cannot_be_armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.FAULT_VARIABLE, "ingest.committed")
    with pytest.raises(ConfigError, match="was not made by `doctor --torture`"):
        config.arm_fault(tmp_path / "data")
    assert faults._armed is None


def test_a_torture_directory_can_be_armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_armed", None)
    (tmp_path / faults.MARK).touch()
    monkeypatch.setenv(config.FAULT_VARIABLE, "no.step")
    with pytest.raises(ConfigError, match="there is no step"):
        config.arm_fault(tmp_path / "data")
    monkeypatch.setenv(config.FAULT_VARIABLE, "ingest.committed:1000")
    config.arm_fault(tmp_path / "data")
    assert faults._armed is not None
    assert faults._armed[0] == "ingest.committed"


def test_the_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.FAULT_VARIABLE, "ingest.committed")
    assert config.load_settings(dotenv=Path("/nonexistent")).settings
