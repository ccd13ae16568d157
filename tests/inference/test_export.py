"""ONNX embedders as others export them: other outputs, a third input, and graphs that are no embedders."""

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ModelError
from appliance.inference.embed import OnnxEmbedder
from appliance.types import Passage

onnx = pytest.importorskip("onnx")
WIDTH = 8


def write_graph(path: Path, *, inputs: list[str], output: str, rank: int, dtype: int = 1) -> None:
    """A toy encoder: each token's embedding is its id times a fixed vector."""
    helper, tensor = onnx.helper, onnx.TensorProto
    direction = onnx.numpy_helper.from_array(np.linspace(1, 2, WIDTH, dtype=np.float32)[None, None], "direction")
    last = onnx.numpy_helper.from_array(np.array([-1], dtype=np.int64), "last")
    one = onnx.numpy_helper.from_array(np.array([1], dtype=np.int64), "one")
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["floats"], to=tensor.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "last"], ["column"]),
        helper.make_node("Mul", ["column", "direction"], ["tokens"]),
    ]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMean", ["tokens", "one"], ["pooled"], keepdims=0))
    nodes.append(helper.make_node("Cast", ["pooled" if rank == 2 else "tokens"], [output], to=dtype))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, tensor.INT64, ["b", "s"]) for name in inputs],
        [helper.make_tensor_value_info(output, dtype, ["b", "s", WIDTH] if rank == 3 else ["b", WIDTH])],
        [direction, last, one],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("inputs", "output", "rank", "dtype"),
    [
        (["input_ids", "attention_mask", "token_type_ids"], "last_hidden_state", 3, 1),
        (["input_ids", "attention_mask"], "token_embeddings", 3, 1),
        (["input_ids"], "sentence_embedding", 2, 1),
        (["input_ids", "attention_mask"], "last_hidden_state", 3, 10),
    ],
)
def test_usual_exports_are_taken(
    bundled: Path, tmp_path: Path, inputs: list[str], output: str, rank: int, dtype: int
) -> None:
    write_graph(tmp_path / "toy.onnx", inputs=inputs, output=output, rank=rank, dtype=dtype)
    toy = OnnxEmbedder.open(tmp_path / "toy.onnx", bundled / "minilm-l6-v2.tokenizer.json", threads=1)
    result = toy.embed_passages([Passage("", "one two", [(0, 3), (4, 7)])])[0]
    assert toy.dimensions == WIDTH
    assert result.sentences.shape == (2, WIDTH)
    expected = np.linspace(1, 2, WIDTH)
    assert np.allclose(result.vector, expected / np.linalg.norm(expected), atol=1e-3)


@pytest.mark.parametrize(
    ("inputs", "output", "rank"),
    [(["input_ids", "pixel_values"], "last_hidden_state", 3), (["input_ids"], "logits", 3)],
)
def test_other_graphs_are_refused(bundled: Path, tmp_path: Path, inputs: list[str], output: str, rank: int) -> None:
    write_graph(tmp_path / "other.onnx", inputs=inputs, output=output, rank=rank)
    with pytest.raises(ModelError, match=r"other\.onnx") as caught:
        OnnxEmbedder.open(tmp_path / "other.onnx", bundled / "minilm-l6-v2.tokenizer.json", threads=1)
    assert caught.value.hint
