"""`bench load --generate` on a small scale, with a server process of its own and the real model."""

from pathlib import Path

import pytest

from appliance.config import Settings
from bench import generation, slots


@pytest.mark.slow
def test_every_figure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STREAMS": 2, "ANSWER_TOKENS": 4, "REPEATS": 1, "SEARCH_S": 0.5, "CLIENTS": 4}.items():
        monkeypatch.setattr(generation, name, value)
    monkeypatch.setattr(slots, "TRIES", 1)
    monkeypatch.setattr(slots, "TEXT_TOKENS", 2)
    settings = Settings(data_dir=tmp_path, threads=1, query_timeout_s=120)
    runs = {run["what"]: run["ours"] for run in generation.bench_generation(settings)["runs"]}
    assert runs["tokens a second of 2 streams"] == runs["round 1: tokens a second of 2 streams"] > 0
    assert 0 < runs["four first questions against one"] < 3
    assert runs["of 4 at once: anything else or nothing"] == 0
    assert runs["cancel to free slot while a prompt is read (worst)"] > 0
    assert runs["texts the same alone and beside 1 others, 1 thread(s)"] == 1
