"""Writes the layers in int8: weights per output channel, activations per token.

Why not `onnxruntime.quantization.quantize_dynamic`: it takes one activation range over the whole tensor, so a text's
vector depends on its neighbours in the batch and on the padding (cosine .965 between a text alone and in a mixed
batch). Here every token row has its own range: x = range / 127 * q with range = max|x|, so a text gets the same vector
alone or in a batch, closer to fp32. (Per-token activations: Yao et al. 2022, "ZeroQuant".)

The product of a row is sum(q_x * q_w) * scale_x * scale_w. Activations are uint8 around 128 and weights int8, the pair
that onnxruntime's integer kernels are fastest for. On x86 without VNNI those kernels add two products in 16 bits and
would saturate; weights within +-WEIGHT_LIMIT keep 2 * 255 * WEIGHT_LIMIT below 2**15, so vectors are alike everywhere.

What stands between two products is one operator of our own (`appliance/inference/operators.cpp`): it takes the product
of the rows divided by their ranges, adds what the layer adds, and gives the next product its bytes and ranges. Written
with onnxruntime's operators it is forty passes over memory a layer, and more than half of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from minilm_graph import BertShape, GraphWriter, Tensors
from numpy.typing import NDArray
from onnx import TensorProto, helper

CONTRIB = "com.microsoft"  # onnxruntime's additional operators, for the integer product
OWN = "rag_appliance"
WEIGHT_LIMIT = 64
EMBEDDING_LIMIT = 127
ZERO_POINT = 128

Rows = tuple[str, str]  # (b, s, k) uint8 around ZERO_POINT, and (b, s, 1) float32: the rows' ranges


@dataclass
class IntegerWriter(GraphWriter):
    """A writer whose word table is int8 and whose layers multiply bytes."""

    opsets: ClassVar[Mapping[str, int]] = {**GraphWriter.opsets, CONTRIB: 1, OWN: 1}

    def table(self, name: str, rows: NDArray[np.float32]) -> str:
        """The rows are int8, each with its own scale."""
        scale, values = _per_channel(rows, 1, EMBEDDING_LIMIT)
        self.constant(f"{name}.int8", values)
        self.constant(f"{name}.scale", scale)
        return name

    def lookup(self, table: str, ids: str, output: str) -> str:
        rows = self.node("Gather", [f"{table}.int8", ids], f"{output}.rows")
        floats = self.node("Cast", [rows], f"{output}.floats", to=TensorProto.FLOAT)
        scales = self.node("Gather", [f"{table}.scale", ids], f"{output}.scales")
        return self.node("Mul", [floats, scales], output)

    def mask(self) -> str:
        """(b, s) of 1 and 0, as the graph is given it."""
        return "attention_mask"

    def encode(self, tensors: Tensors, shape: BertShape, summed: str, mask: str, output: str) -> None:
        x = self.layer_norm(summed, tensors, "embeddings.LayerNorm", shape.norm_epsilon)
        rows: Rows = self._own("Quantise", [x], "embeddings", "bytes", "range")
        for layer in range(shape.layers):
            x, rows = self._layer(tensors, shape, x, rows, mask, f"encoder.layer.{layer}")
        self.node("Identity", [x], output)

    def _layer(self, tensors: Tensors, shape: BertShape, x: str, rows: Rows, mask: str, name: str) -> tuple[str, Rows]:
        attended = self._attention(tensors, shape, rows, mask, f"{name}.attention.self")
        x, rows = self._norm(tensors, shape, attended, x, f"{name}.attention.output")
        inner = f"{name}.intermediate.dense"
        inputs = [*self._product(tensors[f"{inner}.weight"], rows, inner), self._bias(tensors, inner)]
        active: Rows = self._own("GeluQuantise", inputs, f"{name}.gelu", "bytes", "range")
        return self._norm(tensors, shape, active, x, f"{name}.output")

    def _attention(self, tensors: Tensors, shape: BertShape, rows: Rows, mask: str, name: str) -> Rows:
        """One product for queries, keys and values; 1/sqrt(head width) is folded into the query weights."""
        scale = np.float32(1 / np.sqrt(shape.hidden // shape.heads))
        parts = (("query", scale), ("key", np.float32(1)), ("value", np.float32(1)))
        weight = np.concatenate([tensors[f"{name}.{part}.weight"] * factor for part, factor in parts])
        bias = np.concatenate([tensors[f"{name}.{part}.bias"] * factor for part, factor in parts])
        inputs = [*self._product(weight, rows, name), self.constant(f"{name}.bias", bias), mask]
        attended: Rows = self._own("AttentionQuantise", inputs, name, "bytes", "range")
        return attended

    def _norm(self, tensors: Tensors, shape: BertShape, rows: Rows, x: str, name: str) -> tuple[str, Rows]:
        """Dense layer, residual and norm."""
        dense, norm = f"{name}.dense", f"{name}.LayerNorm"
        inputs = [*self._product(tensors[f"{dense}.weight"], rows, dense), self._bias(tensors, dense), x]
        inputs += [self.constant(f"{norm}.{part}", tensors[f"{norm}.{part}"]) for part in ("weight", "bias")]
        out, quantised, ranges = self._own(
            "NormQuantise", inputs, norm, "out", "bytes", "range", epsilon=shape.norm_epsilon
        )
        return out, (quantised, ranges)

    def _product(self, weight: NDArray[np.float32], rows: Rows, name: str) -> tuple[str, str]:
        """-> the product of the rows divided by their ranges, and the ranges. `weight` is (out, in)."""
        scale, values = _per_channel(np.ascontiguousarray(weight.T), 0, WEIGHT_LIMIT)
        step = self.constant("activation.step", np.array(1 / 127, dtype=np.float32))
        zero = self.constant("activation.zero", np.array(ZERO_POINT, dtype=np.uint8))
        inputs = [rows[0], self.constant(f"{name}.int8", values), step]
        inputs += [self.constant(f"{name}.scale", scale.reshape(-1)), zero]
        return self.node("MatMulIntegerToFloat", inputs, f"{name}.product", domain=CONTRIB), rows[1]

    def _bias(self, tensors: Tensors, name: str) -> str:
        return self.constant(f"{name}.bias", tensors[f"{name}.bias"])

    def _own(self, operator: str, inputs: list[str], name: str, *outputs: str, **attributes: Any) -> Any:
        """-> the names of its outputs."""
        names = tuple(f"{name}.{output}" for output in outputs)
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, domain=OWN, **attributes))
        return names


def _per_channel(values: NDArray[np.float32], axis: int, limit: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """-> scale (keepdims over `axis`) and int8 values with values = scale * int8, rounded to nearest even."""
    scale = (np.abs(values).max(axis=axis, keepdims=True) / np.float32(limit)).astype(np.float32)
    safe = np.where(scale == 0, np.float32(1), scale)
    return scale, np.clip(np.rint(values / safe), -limit, limit).astype(np.int8)
