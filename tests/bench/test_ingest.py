"""The benchmark of ingestion: the pipeline beside the bare model, on the same passages."""

import shutil
from pathlib import Path

from appliance.config import Settings
from appliance.paths import PACKAGE
from bench.ingest import SLICES, run


def test_the_pipeline_is_compared_with_the_bare_model_on_the_same_passages(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    pages = sorted((PACKAGE / "handbook").glob("*.md"))[:SLICES]
    for page in pages:
        shutil.copy(page, folder)
    told = run(folder, Settings(data_dir=tmp_path / "data", threads=1), documents=SLICES, memory=False)
    raw, pipeline = told["runs"]
    assert (raw["name"], pipeline["name"]) == ("raw onnxruntime", "pipeline")
    assert pipeline["documents"] == SLICES
    assert raw["chunks"] == pipeline["chunks"] >= SLICES
    assert pipeline["ratio"] > 0
