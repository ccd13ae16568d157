"""Turns the fp32 MiniLM graph into int8: weights per output channel, activations per token.

Why not `onnxruntime.quantization.quantize_dynamic`: it takes one activation range over the whole tensor, so a text's
vector depends on its neighbours in the batch and on the padding (cosine .965 between a text alone and in a mixed
batch). Here every token row has its own range: x = scale * q with scale = max|x| / 127, so a text gets the same vector
alone or in a batch, closer to fp32, at the same speed. (Per-token activations: Yao et al. 2022, "ZeroQuant".)

The product of a row is sum(q_x * q_w) * scale_x * scale_w. Activations are uint8 around 128 and weights int8, the pair
that onnxruntime's integer kernels are fastest for. On x86 without VNNI those kernels add two products in 16 bits and
would saturate; weights within +-WEIGHT_LIMIT keep 2 * 255 * WEIGHT_LIMIT below 2**15, so vectors are alike everywhere.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CONTRIB = "com.microsoft"  # onnxruntime's own operators, for the fused integer product
WEIGHT_LIMIT = 64
EMBEDDING_LIMIT = 127
ZERO_POINT = 128
SMALLEST = np.float32(1e-6)  # a row of zeros must not divide by zero


class Quantiser:
    """Rewrites one graph; holds what it has added so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.added: dict[str, onnx.TensorProto] = {}

    def run(self) -> onnx.ModelProto:
        for node in self.model.graph.node:
            constant = [name for name in node.input if name in self.weights]
            if node.op_type == "MatMul" and constant:
                self._product(node)
            elif node.op_type == "Gather" and node.input[0] in constant:
                self._lookup(node)
            else:
                self.nodes.append(node)
        return self._finish()

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self.added.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _product(self, node: onnx.NodeProto) -> None:
        x, weight, output = node.input[0], node.input[1], node.output[0]
        scale, values = _per_channel(numpy_helper.to_array(self.weights[weight]), 0, WEIGHT_LIMIT)
        quantised = self._activation(x)
        step, zero = self._step()
        inputs = [quantised, self._constant(f"{weight}.int8", values), step]
        inputs += [self._constant(f"{weight}.scale", scale.reshape(-1)), zero]
        whole = self._node("MatMulIntegerToFloat", inputs, f"{output}.integer", domain=CONTRIB)
        self._node("Mul", [whole, f"{x}.range"], output)

    def _step(self) -> tuple[str, str]:
        step = self._constant("activation.step", np.float32(1 / 127))
        return step, self._constant("activation.zero", np.uint8(ZERO_POINT))

    def _activation(self, x: str) -> str:
        """(…, k) float -> (…, k) uint8 and, as `x.range`, (…, 1) the largest magnitude of each row."""
        quantised = f"{x}.uint8"
        if any(quantised in node.output for node in self.nodes):
            return quantised
        axis = self._constant("activation.axis", np.array([-1], dtype=np.int64))
        magnitude = self._node("Abs", [x], f"{x}.magnitude")
        largest = self._node("ReduceMax", [magnitude, axis], f"{x}.largest", keepdims=1)
        span = self._node("Max", [largest, self._constant("activation.smallest", SMALLEST)], f"{x}.range")
        unit = self._node("Div", [x, span], f"{x}.unit")
        return self._node("QuantizeLinear", [unit, *self._step()], quantised)

    def _lookup(self, node: onnx.NodeProto) -> None:
        """The word table: int8 rows, each with its own scale."""
        table, ids, output = node.input[0], node.input[1], node.output[0]
        scale, values = _per_channel(numpy_helper.to_array(self.weights[table]), 1, EMBEDDING_LIMIT)
        rows = self._node("Gather", [self._constant(f"{table}.int8", values), ids], f"{output}.rows")
        floats = self._node("Cast", [rows], f"{output}.floats", to=TensorProto.FLOAT)
        scales = self._node("Gather", [self._constant(f"{table}.scale", scale), ids], f"{output}.scales")
        self._node("Mul", [floats, scales], output)

    def _finish(self) -> onnx.ModelProto:
        graph = self.model.graph
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for name, tensor in self.weights.items() if name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend([*kept, *self.added.values()])
        self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        onnx.checker.check_model(self.model)
        return self.model


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """A new int8 model with the inputs and outputs of `model`, which stays as it is."""
    return Quantiser(model).run()


def _per_channel(values: NDArray[np.float32], axis: int, limit: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """-> scale (keepdims over `axis`) and int8 values with values = scale * int8, rounded to nearest even."""
    scale = (np.abs(values).max(axis=axis, keepdims=True) / np.float32(limit)).astype(np.float32)
    safe = np.where(scale == 0, np.float32(1), scale)
    return scale, np.clip(np.rint(values / safe), -limit, limit).astype(np.int8)
