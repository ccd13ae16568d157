"""onnxruntime reports to its maker unless it is told not to; importing the appliance tells it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.paths import BUNDLED_MODELS, PACKAGE

OPEN = """
import {module}, onnxruntime, time
session = onnxruntime.InferenceSession({model!r})
time.sleep(1)
"""


def traces(module: str, home: Path) -> list[str]:
    """What opening a model leaves in a new user's home."""
    home.mkdir()
    model = str(BUNDLED_MODELS / "minilm-l6-v2.fp32.onnx")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(PACKAGE.parent)}
    code = OPEN.format(module=module, model=model)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=60)
    return [str(path.relative_to(home)) for path in home.rglob("*")]


@pytest.mark.slow
def test_opening_a_model_leaves_nothing_at_home(tmp_path: Path) -> None:
    assert traces("appliance", tmp_path / "home") == []


@pytest.mark.slow
def test_the_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    """Without the appliance the same library does leave its traces; if it no longer does, this can go."""
    assert any("onnxruntime" in path for path in traces("sys", tmp_path / "home"))
