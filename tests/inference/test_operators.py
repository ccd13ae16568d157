"""Our operators for onnxruntime against the plain arithmetic, and against themselves with other neighbours."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from appliance.inference import operators
from appliance.inference.embed import ort_errors

onnx = pytest.importorskip("onnx")

Array = NDArray[Any]
OUTPUTS = {
    "Quantise": ("bytes", "range"),
    "GeluQuantise": ("bytes", "range"),
    "NormQuantise": ("out", "bytes", "range"),
    "AttentionQuantise": ("bytes", "range"),
}
TYPES = {"bytes": onnx.TensorProto.UINT8, "range": onnx.TensorProto.FLOAT, "out": onnx.TensorProto.FLOAT}
random = np.random.default_rng(11)


def run(operator: str, *inputs: Array, **attributes: Any) -> dict[str, Array]:
    """One node in a session of its own -> its outputs by name."""
    helper = onnx.helper
    names = [f"input_{index}" for index in range(len(inputs))]
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
        for name, value in zip(names, inputs, strict=True)
    ]
    made = [helper.make_tensor_value_info(name, TYPES[name], None) for name in OUTPUTS[operator]]
    node = helper.make_node(operator, names, OUTPUTS[operator], domain="rag_appliance", **attributes)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("rag_appliance", 1)]
    model = helper.make_model(helper.make_graph([node], "one", given, made), opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(operators.__file__)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS[operator]), dict(zip(names, inputs, strict=True)))
    return dict(zip(OUTPUTS[operator], found, strict=True))


def floats(*shape: int, scale: float = 1.0) -> Array:
    return (random.standard_normal(shape) * scale).astype(np.float32)


def assert_quantised(found: Mapping[str, Array], expected: Array, error: float = 1e-6) -> None:
    """Half a step of the row's range, and `error` of it, is all that a value may be off."""
    ranges = np.maximum(np.abs(expected).max(axis=-1, keepdims=True), 1e-6)
    assert found["bytes"].dtype == np.uint8
    assert np.allclose(found["range"], ranges, rtol=1e-5)
    values = found["range"] / 127 * (found["bytes"].astype(np.float64) - 128)
    assert (np.abs(values - expected) <= ranges * (0.5 / 127 + error + 1e-5)).all()


def exact_gelu(x: Array) -> Array:
    below = np.vectorize(lambda value: 0.5 * (1 + math.erf(value / math.sqrt(2))))
    return np.asarray(x * below(x.astype(np.float64)))


@pytest.mark.parametrize("shape", [(1, 16), (3, 5, 48), (2, 1, 384), (0, 4, 16)])
def test_rows_are_quantised_by_their_own_range(shape: tuple[int, ...]) -> None:
    x = floats(*shape) * (10.0 ** random.integers(-3, 4, (*shape[:-1], 1))).astype(np.float32)
    found = run("Quantise", x)
    assert found["bytes"].shape == shape
    assert found["range"].shape == (*shape[:-1], 1)
    if x.size:
        assert_quantised(found, x)


def test_a_row_of_zeros_stays_zero() -> None:
    found = run("Quantise", np.zeros((2, 32), dtype=np.float32))
    assert (found["bytes"] == 128).all()
    assert np.allclose(found["range"], 1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_gelu_is_that_of_the_error_function(scale: float) -> None:
    product, ranges, bias = floats(2, 7, 64, scale=scale), np.abs(floats(2, 7, 1)), floats(64)
    assert_quantised(run("GeluQuantise", product, ranges, bias), exact_gelu(product * ranges + bias))


def test_gelu_far_out_is_nothing_or_all() -> None:
    product = np.linspace(-60, 60, 64, dtype=np.float32).reshape(1, 64)
    found = run("GeluQuantise", product, np.ones((1, 1), dtype=np.float32), np.zeros(64, dtype=np.float32))
    assert_quantised(found, exact_gelu(product))


def test_the_norm_is_of_the_sum_with_the_residual() -> None:
    product, ranges, bias, residual = floats(3, 4, 96), np.abs(floats(3, 4, 1)), floats(96), floats(3, 4, 96, scale=3)
    scale, shift = floats(96), floats(96)
    found = run("NormQuantise", product, ranges, bias, residual, scale, shift, epsilon=1e-3)
    x = (product * ranges + bias + residual).astype(np.float64)
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * scale + shift
    assert np.allclose(found["out"], expected, atol=1e-5)
    assert_quantised(found, found["out"])


def exact_attention(x: Array, mask: Array) -> Array:
    texts, tokens, width = x.shape
    query, key, value = (
        part.reshape(texts, tokens, -1, 32).transpose(0, 2, 1, 3) for part in np.split(x.astype(np.float64), 3, axis=-1)
    )
    products = query @ key.transpose(0, 1, 3, 2) + np.where(mask, 0, -np.inf)[:, None, None]
    shares = np.exp(products - products.max(axis=-1, keepdims=True))
    mixed = shares / shares.sum(axis=-1, keepdims=True) @ value
    return np.asarray(mixed.transpose(0, 2, 1, 3).reshape(texts, tokens, width // 3))


@pytest.mark.parametrize("tokens", [1, 3, 31, 32, 33, 70])
@pytest.mark.parametrize("scale", [0.3, 8.0])
def test_attention_is_the_softmax_of_the_products(tokens: int, scale: float) -> None:
    product, ranges, bias = floats(3, tokens, 3 * 64, scale=scale), np.abs(floats(3, tokens, 1)), floats(3 * 64)
    mask = np.ones((3, tokens), dtype=np.int64)
    mask[1, (tokens + 1) // 2 :] = 0
    found = run("AttentionQuantise", product, ranges, bias, mask)
    assert_quantised(found, exact_attention(product * ranges + bias, mask), error=1e-4)


def test_neighbours_and_padding_change_nothing() -> None:
    """To the last bit, as a search asks for it that ranks near ties."""
    product, ranges, bias = floats(4, 40, 3 * 64), np.abs(floats(4, 40, 1)), floats(3 * 64)
    mask = np.ones((4, 40), dtype=np.int64)
    mask[2, 9:] = 0
    together = run("AttentionQuantise", product, ranges, bias, mask)
    alone = run("AttentionQuantise", product[2:3, :9], ranges[2:3, :9], bias, mask[2:3, :9])
    assert all(np.array_equal(together[name][2:3, :9], alone[name]) for name in alone)
    rows = floats(5, 48)
    each = [run("Quantise", row[None]) for row in rows]
    assert np.array_equal(run("Quantise", rows)["bytes"], np.concatenate([one["bytes"] for one in each]))


def test_a_text_without_a_token_has_numbers() -> None:
    found = run(
        "AttentionQuantise", floats(1, 4, 96), np.ones((1, 4, 1), np.float32), floats(96), np.zeros((1, 4), int)
    )
    assert np.isfinite(found["range"]).all()


@pytest.mark.parametrize(
    ("operator", "inputs", "said"),
    [
        ("Quantise", (floats(2, 20),), "groups of 16"),
        ("GeluQuantise", (floats(2, 32), floats(2, 1), floats(16)), "elements"),
        ("GeluQuantise", (floats(2, 32), floats(3, 1), floats(32)), "elements"),
        ("AttentionQuantise", (floats(1, 2, 48), floats(1, 2, 1), floats(48), np.ones((1, 2), int)), "heads of 32"),
        ("AttentionQuantise", (floats(2, 96), floats(2, 1), floats(96), np.ones((2,), int)), "heads of 32"),
        (
            "AttentionQuantise",
            (floats(1, 2, 96), floats(1, 2, 1), floats(96), np.ones((1, 3), int)),
            "elements",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(operator: str, inputs: tuple[Array, ...], said: str) -> None:
    with pytest.raises(ort_errors(), match=said):
        run(operator, *inputs)


def test_an_attribute_that_is_missing_is_told() -> None:
    rows = floats(1, 16)
    with pytest.raises(ort_errors(), match="epsilon"):
        run("NormQuantise", rows, floats(1, 1), floats(16), rows, floats(16), floats(16))
