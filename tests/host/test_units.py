"""The units as they are shipped: accepted by systemd, locked in, and held against what the program needs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.config import load_settings

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A copy whose program exists, for systemd looks for it."""
    for name in ("rag-appliance.service", "rag-appliance.socket"):
        shutil.copy(UNITS / name, tmp_path / name)
    path = tmp_path / "rag-appliance.service"
    path.write_text(
        path.read_text().replace("ExecStart=/opt/rag-appliance/current/rag-appliance", "ExecStart=/bin/true")
    )
    return path


@needs_systemd
def test_the_exposure_is_low(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "service:" in done.stdout, done.stderr
    assert float(done.stdout.rsplit("service:", 1)[1].split()[0]) <= EXPOSURE


@needs_systemd
def test_systemd_accepts_the_units(unit: Path) -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(unit), str(unit.with_suffix(".socket"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "rag-appliance" in line] == []


def test_the_service_may_lock_itself_and_its_reader_in_further() -> None:
    """@system-service of systemd 252 lacks seccomp(2): without it both locks would silently be missing."""
    filters = [
        line for line in (UNITS / "rag-appliance.service").read_text().splitlines() if "SystemCallFilter=" in line
    ]
    assert any("seccomp" in line and not line.startswith("SystemCallFilter=~") for line in filters)


def test_the_example_configuration_is_accepted() -> None:
    settings = load_settings(config=UNITS / "rag-appliance.yaml").settings
    assert settings.data_dir == Path("/var/lib/rag-appliance")


def test_the_unit_asks_before_each_start_and_confirms_after_it() -> None:
    text = (UNITS / "rag-appliance.service").read_text()
    assert "ExecStartPre=-+/bin/sh -c 'test ! -e /opt/rag-appliance/trial ||" in text
    assert "ExecStartPost=+/bin/rm -f /opt/rag-appliance/trial" in text
