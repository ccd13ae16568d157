"""Small ONNX cross-encoders, made with onnx.helper: one counts shared words, one is MiniLM with a head of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SPECIAL = 103  # the last of MiniLM's special tokens ([PAD] 0, [CLS] 101, [SEP] 102, [MASK] 103)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def overlap(path: Path, *, classes: int = 1) -> Path:
    """Logit = pairs of equal tokens, one in the question (type 0), one in the passage (type 1), less 2.

    Padding and special tokens do not count. With two classes the other one's logit is 0.
    """
    nodes = [
        helper.make_node("Greater", ["input_ids", "special"], ["is_word"]),
        helper.make_node("Cast", ["is_word"], ["word"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "second"], ["first"]),
        helper.make_node("Mul", ["word", "mask"], ["kept"]),
        helper.make_node("Mul", ["kept", "first"], ["question"]),
        helper.make_node("Mul", ["kept", "second"], ["passage"]),
        helper.make_node("Unsqueeze", ["input_ids", "axis_2"], ["ids_down"]),
        helper.make_node("Unsqueeze", ["input_ids", "axis_1"], ["ids_across"]),
        helper.make_node("Equal", ["ids_down", "ids_across"], ["is_same"]),
        helper.make_node("Cast", ["is_same"], ["same"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["question", "axis_2"], ["question_down"]),
        helper.make_node("Unsqueeze", ["passage", "axis_1"], ["passage_across"]),
        helper.make_node("Mul", ["same", "question_down"], ["same_question"]),
        helper.make_node("Mul", ["same_question", "passage_across"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "axes"], ["count"], keepdims=0),
        helper.make_node("Sub", ["count", "least"], ["more"]),
        helper.make_node("Unsqueeze", ["more", "axis_1"], ["logits" if classes == 1 else "yes"]),
    ]
    if classes == 2:
        nodes.append(helper.make_node("Mul", ["yes", "zero"], ["no"]))
        nodes.append(helper.make_node("Concat", ["no", "yes"], ["logits"], axis=1))
    constants: dict[str, NDArray[Any]] = {
        "special": np.array(SPECIAL, dtype=np.int64),
        "axis_1": np.array([1], dtype=np.int64),
        "axis_2": np.array([2], dtype=np.int64),
        "axes": np.array([1, 2], dtype=np.int64),
        "one": np.array(1, dtype=np.float32),
        "zero": np.array(0, dtype=np.float32),
        "least": np.array(2, dtype=np.float32),
    }
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in INPUTS]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "overlap", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def headed(embedder: Path, path: Path, *, seed: int = 7) -> Path:
    """The bundled encoder with a head of random weights on its sentence embedding: one logit, no token types."""
    model = onnx.load(embedder)
    weights = np.random.default_rng(seed).normal(scale=4, size=(384, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "head.weight"))
    model.graph.node.append(helper.make_node("MatMul", ["sentence_embedding", "head.weight"], ["logits"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1]))
    path.write_bytes(model.SerializeToString())
    return path
