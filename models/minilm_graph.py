"""Writes the MiniLM BERT encoder as an ONNX graph straight from its safetensors: no torch, no exporter.

Architecture: Devlin et al. 2019, "BERT" (post-norm encoder, learned positions, erf GELU); pooling as published with
all-MiniLM-L6-v2 (mean over the attention mask, then L2 norm).

Inputs   input_ids (b, s) int64; attention_mask (b, s) int64, 1 = token, 0 = padding. Token types are always 0, so
         their embedding is folded into the position table and the graph has no third input.
Outputs  token_embeddings (b, s, hidden) float32; sentence_embedding (b, hidden) float32, rows L2-normalised.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 20  # the first with Gelu
IR_VERSION = 10
LOWEST = float(np.finfo(np.float32).min)  # added to the score of a padded key: softmax makes it exactly 0

ENCODER_INPUTS = ("input_ids", "attention_mask")

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class BertShape:
    """The numbers of config.json that the graph depends on."""

    layers: int
    hidden: int
    heads: int
    norm_epsilon: float

    @classmethod
    def read(cls, config: Path) -> "BertShape":
        """Raises ValueError when the configuration is of another architecture."""
        raw = json.loads(config.read_text("utf-8"))
        if raw["hidden_act"] != "gelu" or raw["position_embedding_type"] != "absolute":
            raise ValueError(f"{config.name}: not a BERT encoder with erf GELU and absolute positions")
        return cls(raw["num_hidden_layers"], raw["hidden_size"], raw["num_attention_heads"], raw["layer_norm_eps"])


@dataclass
class GraphWriter:
    """Nodes and constants of one graph in float32, in the order they were added."""

    opsets: ClassVar[Mapping[str, int]] = {"": OPSET}

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant("i64_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def dense(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str) -> str:
        """x (…, in) -> (…, out); `weight` is stored (out, in) in the source, as torch does."""
        product = self.node("MatMul", [x, self.constant(f"{name}.weight", weight.T)], f"{name}.matmul")
        return self.node("Add", [product, self.constant(f"{name}.bias", bias)], f"{name}.out")

    def table(self, name: str, rows: NDArray[np.float32]) -> str:
        """(n, width) to look rows up in."""
        return self.constant(name, rows)

    def lookup(self, table: str, ids: str, output: str) -> str:
        """(b, s) -> (b, s, width)."""
        return self.node("Gather", [table, ids], output)

    def mask(self) -> str:
        """What `encode` is given of the attention mask: (b, 1, 1, s) of 0 and the lowest float."""
        keys = self.node("Unsqueeze", ["attention_mask", self.integers(1, 2)], "mask.keys")
        present = self.node("Cast", [keys], "mask.float", to=TensorProto.FLOAT)
        one = self.constant("one", np.array(1.0, dtype=np.float32))
        absent = self.node("Sub", [one, present], "mask.absent")
        lowest = self.constant("lowest", np.array(LOWEST, dtype=np.float32))
        return self.node("Mul", [absent, lowest], "mask.additive")

    def encode(self, tensors: Tensors, shape: BertShape, summed: str, mask: str, output: str) -> None:
        """All layers over the sum of the embeddings; `output` (b, s, hidden) is the last one's."""
        x = self.layer_norm(summed, tensors, "embeddings.LayerNorm", shape.norm_epsilon)
        for layer in range(shape.layers):
            prefix = f"encoder.layer.{layer}"
            attended = _attention(self, tensors, shape, x, mask, f"{prefix}.attention")
            last = layer == shape.layers - 1
            x = _feed_forward(self, tensors, shape, attended, prefix, output if last else f"{prefix}.out", last=last)

    def layer_norm(self, x: str, tensors: Tensors, name: str, epsilon: float) -> str:
        scale = self.constant(f"{name}.weight", tensors[f"{name}.weight"])
        shift = self.constant(f"{name}.bias", tensors[f"{name}.bias"])
        return self.node("LayerNormalization", [x, scale, shift], f"{name}.out", axis=-1, epsilon=epsilon)


def build_graph(weights: Path, config: Path, writer: GraphWriter) -> onnx.ModelProto:
    """The whole model as `writer` writes layers, checked by onnx.

    Raises ValueError or KeyError when the weights do not fit the configuration.
    """
    shape = BertShape.read(config)
    tensors: Tensors = load_file(weights)
    first_type = tensors["embeddings.token_type_embeddings.weight"][0]
    mask = writer.mask()
    writer.encode(tensors, shape, embed(writer, tensors, first_type), mask, "token_embeddings")
    _pool(writer)
    return finished(writer, "minilm-l6-v2", ENCODER_INPUTS, _encoder_outputs(shape))


def embed(writer: GraphWriter, tensors: Tensors, first_type: NDArray[np.float32]) -> str:
    """Words + positions + the first token type, which every token has, (b, s, hidden)."""
    words = writer.table("embeddings.word", tensors["embeddings.word_embeddings.weight"])
    table = writer.constant("embeddings.position", tensors["embeddings.position_embeddings.weight"] + first_type)
    length = writer.node("Shape", ["input_ids"], "sequence.length", start=1, end=2)
    positions = writer.node("Slice", [table, writer.integers(0), length, writer.integers(0)], "embeddings.positions")
    word = writer.lookup(words, "input_ids", "embeddings.words")
    return writer.node("Add", [word, positions], "embeddings.sum")


def _attention(writer: GraphWriter, tensors: Tensors, shape: BertShape, x: str, mask: str, name: str) -> str:
    """Multi-head self-attention with its residual and norm; 1/sqrt(head width) is folded into the query weights."""
    width = shape.hidden // shape.heads
    heads: dict[str, str] = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        source = f"{name}.self.{part}"
        scale = np.float32(1 / np.sqrt(width)) if part == "query" else np.float32(1)
        flat = writer.dense(x, tensors[f"{source}.weight"] * scale, tensors[f"{source}.bias"] * scale, source)
        split = writer.node("Reshape", [flat, writer.integers(0, 0, shape.heads, width)], f"{source}.split")
        heads[part] = writer.node("Transpose", [split], f"{source}.heads", perm=order)
    scores = writer.node("MatMul", [heads["query"], heads["key"]], f"{name}.scores")
    masked = writer.node("Add", [scores, mask], f"{name}.masked")
    shares = writer.node("Softmax", [masked], f"{name}.shares", axis=-1)
    mixed = writer.node("MatMul", [shares, heads["value"]], f"{name}.mixed")
    back = writer.node("Transpose", [mixed], f"{name}.back", perm=[0, 2, 1, 3])
    joined = writer.node("Reshape", [back, writer.integers(0, 0, shape.hidden)], f"{name}.joined")
    output = f"{name}.output"
    dense = f"{output}.dense"
    projected = writer.dense(joined, tensors[f"{dense}.weight"], tensors[f"{dense}.bias"], dense)
    residual = writer.node("Add", [projected, x], f"{output}.residual")
    return writer.layer_norm(residual, tensors, f"{output}.LayerNorm", shape.norm_epsilon)


def _feed_forward(
    writer: GraphWriter, tensors: Tensors, shape: BertShape, x: str, prefix: str, output: str, *, last: bool
) -> str:
    inner, outer = f"{prefix}.intermediate.dense", f"{prefix}.output.dense"
    wide = writer.dense(x, tensors[f"{inner}.weight"], tensors[f"{inner}.bias"], inner)
    active = writer.node("Gelu", [wide], f"{prefix}.gelu")
    narrow = writer.dense(active, tensors[f"{outer}.weight"], tensors[f"{outer}.bias"], outer)
    residual = writer.node("Add", [narrow, x], f"{prefix}.residual")
    normed = writer.layer_norm(residual, tensors, f"{prefix}.output.LayerNorm", shape.norm_epsilon)
    writer.nodes[-1].output[0] = output if last else normed
    return str(writer.nodes[-1].output[0])


def _pool(writer: GraphWriter) -> None:
    """Mean of the tokens that the mask keeps, then L2 norm (sentence-transformers Pooling and Normalize)."""
    column = writer.node("Unsqueeze", ["attention_mask", writer.integers(2)], "pool.column")
    weight = writer.node("Cast", [column], "pool.weight", to=TensorProto.FLOAT)
    kept = writer.node("Mul", ["token_embeddings", weight], "pool.kept")
    axis = writer.integers(1)
    total = writer.node("ReduceSum", [kept, axis], "pool.total", keepdims=0)
    count = writer.node("ReduceSum", [weight, axis], "pool.count", keepdims=0)
    tiny = writer.constant("tiny", np.array(1e-9, dtype=np.float32))
    mean = writer.node("Div", [total, writer.node("Max", [count, tiny], "pool.count.safe")], "pool.mean")
    norm = writer.node("ReduceL2", [mean, writer.integers(-1)], "pool.norm", keepdims=1)
    writer.node("Div", [mean, writer.node("Max", [norm, tiny], "pool.norm.safe")], "sentence_embedding")


def _encoder_outputs(shape: BertShape) -> dict[str, list[str | int]]:
    return {
        "token_embeddings": ["batch", "sequence", shape.hidden],
        "sentence_embedding": ["batch", shape.hidden],
    }


def finished(
    writer: GraphWriter, name: str, inputs: Sequence[str], outputs: Mapping[str, list[str | int]]
) -> onnx.ModelProto:
    """The graph as a model, checked: inputs (batch, sequence) int64, outputs float32 of the shapes given."""
    given = [helper.make_tensor_value_info(one, TensorProto.INT64, ["batch", "sequence"]) for one in inputs]
    made = [helper.make_tensor_value_info(one, TensorProto.FLOAT, dims) for one, dims in outputs.items()]
    graph = helper.make_graph(writer.nodes, name, given, made, list(writer.constants.values()))
    opsets = [helper.make_opsetid(domain, version) for domain, version in writer.opsets.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="rag-appliance")
    onnx.checker.check_model(model, full_check=True)
    return model
