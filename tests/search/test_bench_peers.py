"""`bench peers`: our own program, judged like the others; the peers are no part of the test environment."""

import sys
from pathlib import Path

import pytest

import bench.peers
from appliance.config import Settings
from appliance.errors import InvalidRequest
from tests.search.test_bench import write_set


@pytest.mark.slow
def test_a_system_is_measured_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.peers, "PROGRAMS", {"rag-appliance": "ours"})
    settings = Settings(data_dir=tmp_path / "unused", threads=1)
    found = bench.peers.run(write_set(tmp_path / "set"), settings, python=Path(sys.executable))
    (row,) = found["runs"]
    assert row["ndcg@10"] == 1.0
    assert row["documents/s"] > 0
    assert row["peak_mb"] > 0


def test_missing_peers_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no interpreter") as raised:
        bench.peers.run(tmp_path, Settings(data_dir=tmp_path, threads=1), python=tmp_path / "python")
    assert "make peers" in raised.value.hint
