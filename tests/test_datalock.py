"""The lock of a data directory: who holds it, and how the holder before came to its end."""

import json
from pathlib import Path

import pytest

from appliance import datalock
from appliance.datalock import DataLock
from appliance.errors import DataDirectoryInUse


def test_the_holder_is_named(tmp_path: Path) -> None:
    with (
        DataLock.acquire(tmp_path / "lock", "serve"),
        pytest.raises(DataDirectoryInUse, match=r"process \d+ \(serve\)"),
    ):
        DataLock.acquire(tmp_path / "lock", "ingest")
    DataLock.acquire(tmp_path / "lock", "ingest").close()


@pytest.mark.parametrize(
    ("left", "restarted"),
    [
        (None, False),  # an orderly end, or the first start
        ("", False),
        ("torn", False),
        (json.dumps({"pid": 7, "purpose": "serve"}), False),
        (json.dumps({"pid": 7, "purpose": "serve", "boot": "this"}), False),  # killed
        (json.dumps({"pid": 7, "purpose": "serve", "boot": "the one before"}), True),  # a power cut
    ],
)
def test_a_power_cut_is_told_from_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str | None, restarted: bool
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("this\n")
    monkeypatch.setattr(datalock, "BOOT_ID", boot)
    path = tmp_path / "lock"
    if left is not None:
        path.write_text(left)
    with DataLock.acquire(path, "serve") as lock:
        assert lock.host_restarted is restarted
        assert json.loads(path.read_text())["boot"] == "this"
    assert path.read_text() == ""
