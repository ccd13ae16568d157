"""`bench load` on a folder of data sets, with a server process of its own."""

import json
from pathlib import Path

import pytest

from appliance.config import Settings
from bench.load import bench_load

SENTENCE = (
    "The {0} valve of line {0} opens at {1} bar and closes again when the pressure falls below {2} bar in the tank."
)


@pytest.mark.slow
def test_a_data_set_is_ingested_and_asked(tmp_path: Path) -> None:
    texts = [{"_id": str(n), "title": f"Valve {n}", "text": SENTENCE.format(n, n + 3, n + 1)} for n in range(60)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    settings = Settings(data_dir=tmp_path / "unused", embedder="hash", generator="none", threads=1)
    found = bench_load(settings, tmp_path, seconds=0.3)
    assert found["documents"] == len(texts)
    assert found["passages"] >= len(texts)
    assert [one["errors"] for one in found["runs"]] == [0, 0, 0]
    assert all(one["requests"] for one in found["runs"])
