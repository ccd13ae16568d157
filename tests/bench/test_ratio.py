"""The load test of continuous integration: a ratio, a baseline, and a program that became slow is found."""

import json
from pathlib import Path

import pytest

from appliance.config import Settings
from bench import ratio
from bench.ratio import bench_ratio


@pytest.mark.slow
def test_ratios_are_held_against_a_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratio, "ROUNDS", 1)
    monkeypatch.setattr(ratio, "SECONDS", 0.3)
    settings = Settings(data_dir=tmp_path, threads=1)
    found = bench_ratio(settings)
    assert found["errors"] == 0
    assert not found["short"]
    shares = {row["name"]: row["of_raw"] for row in found["runs"]}
    assert 0 < shares["uncached answer"] < shares["cached answer"] < 1
    faster = [{"name": name, "of_raw": 5 * share} for name, share in shares.items()]
    (tmp_path / "baseline.json").write_text(json.dumps({"runs": faster}))
    held = bench_ratio(settings, tmp_path / "baseline.json")
    assert set(held["short"]) == set(shares)
