"""Our graphs against vectors made by an independent implementation, and a batch against its texts alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from appliance.inference.embed import OnnxEmbedder
from appliance.types import Matrix, Passage

CASES = json.loads((Path(__file__).parents[1] / "golden" / "minilm_l6_v2.json").read_text("utf-8"))["cases"]
TEXTS = [case["text"] for case in CASES]
REFERENCE = np.array([case["vector"] for case in CASES], dtype=np.float32)


def cosines(a: Matrix, b: Matrix) -> list[float]:
    return [float(x) for x in (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)]


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("int8", 0.98)])
def test_query_vectors_agree_with_the_reference(precision: str, least: float, request: pytest.FixtureRequest) -> None:
    embedder: OnnxEmbedder = request.getfixturevalue(precision)
    vectors = np.stack([embedder.embed_query(text) for text in TEXTS])
    assert min(cosines(vectors, REFERENCE)) >= least


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_batch_gives_what_its_texts_give_alone(precision: str, request: pytest.FixtureRequest) -> None:
    embedder: OnnxEmbedder = request.getfixturevalue(precision)
    alone = np.stack([embedder.embed_query(text) for text in TEXTS])
    together = np.stack([result.vector for result in embedder.embed_passages([Passage("", text) for text in TEXTS])])
    assert min(cosines(alone, together)) >= 0.9999


def test_int8_vectors_do_not_depend_on_padding(int8: OnnxEmbedder) -> None:
    short, long = TEXTS[7], TEXTS[2]
    ids, mask = int8.prepare([Passage("", short)])[0]
    width = int8.prepare([Passage("", long)])[0][0].shape[1]
    wide = np.pad(ids, ((0, 0), (0, width - ids.shape[1]))), np.pad(mask, ((0, 0), (0, width - mask.shape[1])))
    bare, padded = int8.run_raw([(ids, mask)])[0], int8.run_raw([wide])[0]
    assert min(cosines(bare, padded)) >= 0.9999
