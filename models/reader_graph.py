"""Writes the reader: MiniLM with a trained adapter, which gives each token of a passage a logit of being the answer.

Inputs   input_ids, attention_mask, token_type_ids (b, s) int64: question and passage as BERT reads a pair.
Outputs  logits (b, 1) float32: log of the sum of exp over the passage's tokens. Against a "nothing" of logit 0 its
         sigmoid is how likely the passage holds the answer at all, so the model is a reranker as others are;
         token_logits (b, s) float32: the tokens' own; LOWEST for what is no token of the passage.
"""

from pathlib import Path

import numpy as np
import onnx
from minilm_graph import BertShape, GraphWriter, Tensors, embed, finished
from onnx import TensorProto
from safetensors.numpy import load_file

TYPES = "embeddings.token_type_embeddings.weight"
SEPARATOR = 102  # BERT's [SEP]: it closes the passage and belongs to none
LOWEST = np.float32(-1e4)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LOW_RANK = ".lora_b"


def build_reader(weights: Path, config: Path, adapter: Path, writer: GraphWriter) -> onnx.ModelProto:
    """The whole model as `writer` writes layers, checked by onnx.

    Raises ValueError or KeyError when the files do not fit each other.
    """
    shape = BertShape.read(config)
    tensors = merged(load_file(weights), load_file(adapter))
    first, second = tensors[TYPES]
    mask = writer.mask()
    types = writer.node("Cast", ["token_type_ids"], "types.float", to=TensorProto.FLOAT)
    column = writer.node("Unsqueeze", [types, writer.integers(2)], "types.column")
    added = writer.node("Mul", [column, writer.constant("types.second", second - first)], "types.added")
    summed = writer.node("Add", [embed(writer, tensors, first), added], "embeddings.typed")
    writer.encode(tensors, shape, summed, mask, "token_embeddings")
    _head(writer, tensors, types)
    outputs: dict[str, list[str | int]] = {"logits": ["batch", 1], "token_logits": ["batch", "sequence"]}
    return finished(writer, "minilm-l6-v2-reader", INPUTS, outputs)


def merged(tensors: Tensors, adapter: Tensors) -> Tensors:
    """The source's tensors with what was learnt: W + B A for a matrix, the learnt value for anything else.

    The products are added up one rank after the other, element by element, so that the bytes are alike on any host.
    """
    learnt = {name: value.astype(np.float32) for name, value in adapter.items()}
    whole = {**tensors, **{name: value for name, value in learnt.items() if ".lora_" not in name}}
    for name in (name for name in learnt if name.endswith(LOW_RANK)):
        matrix = name.removesuffix(LOW_RANK)
        change = np.zeros_like(tensors[f"{matrix}.weight"])
        for column, row in zip(learnt[name].T, learnt[f"{matrix}.lora_a"], strict=True):
            change += column[:, None] * row[None, :]
        whole[f"{matrix}.weight"] = tensors[f"{matrix}.weight"] + change
    return whole


def _head(writer: GraphWriter, tensors: Tensors, types: str) -> None:
    """A dot product in float32 (a single column would lose most by int8), then what is no passage set to LOWEST."""
    weight = writer.constant("head.weight", tensors["head.weight"][0])
    parts = writer.node("Mul", ["token_embeddings", weight], "head.parts")
    total = writer.node("ReduceSum", [parts, writer.integers(-1)], "head.total", keepdims=0)
    logits = writer.node("Add", [total, writer.constant("head.bias", tensors["head.bias"])], "head.logits")
    ends = writer.node("Equal", ["input_ids", writer.constant("separator", np.array(SEPARATOR))], "passage.ends")
    no_end = writer.node("Cast", [writer.node("Not", [ends], "passage.no_end")], "passage.words", to=TensorProto.FLOAT)
    inside = writer.node(
        "Cast", [writer.node("Mul", [no_end, types], "passage.inside")], "passage.in", to=TensorProto.BOOL
    )
    lowest = writer.constant("outside", np.array(LOWEST))
    writer.node("Where", [inside, logits, lowest], "token_logits")
    writer.node("ReduceLogSumExp", ["token_logits", writer.integers(1)], "logits", keepdims=1)
