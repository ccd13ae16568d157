"""The bundled models, opened once for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.inference.embed import OnnxEmbedder

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "out"


@pytest.fixture(scope="session")
def bundled() -> Path:
    assert (BUNDLED / "models.lock.json").is_file(), "run `make models` first"
    return BUNDLED


def open_embedder(bundled: Path, precision: str, threads: int = 2) -> OnnxEmbedder:
    tokenizer = bundled / "minilm-l6-v2.tokenizer.json"
    return OnnxEmbedder.open(bundled / f"minilm-l6-v2.{precision}.onnx", tokenizer, threads=threads)


@pytest.fixture(scope="session")
def int8(bundled: Path) -> Iterator[OnnxEmbedder]:
    embedder = open_embedder(bundled, "int8")
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def fp32(bundled: Path) -> Iterator[OnnxEmbedder]:
    embedder = open_embedder(bundled, "fp32")
    yield embedder
    embedder.close()
