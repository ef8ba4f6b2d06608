"""int8 products: near to fp32, and each row by itself alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.quantize import quantize_graph, quantize_weight

Floats = NDArray[np.float32]
IN, OUT = 48, 20


def random_matrix(rows: int, columns: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def graph_of(
    nodes: list[onnx.NodeProto], weight: Floats, dtype: int, shape: list[str | int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", None])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


def product(weight: Floats, *, is_transposed: bool = False) -> onnx.ModelProto:
    """X times a weight (in, out), or times the transpose of one (out, in)."""
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    if is_transposed:
        nodes = [
            helper.make_node("Transpose", ["weight"], ["w"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
    return graph_of(nodes, weight, TensorProto.FLOAT, ["rows", IN])


def run(model: onnx.ModelProto, x: NDArray[np.generic]) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0], np.float32)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_weight_is_off_by_half_a_step_at_most(axis: int) -> None:
    weight = random_matrix(IN, OUT, 1) * np.logspace(-3, 3, OUT, dtype=np.float32)
    integers, scale = quantize_weight(weight, axis)
    assert integers.dtype == np.int8
    assert scale.shape == (weight.shape[1 - axis],)
    assert int(np.abs(integers).max()) == 127
    assert int(integers.min()) >= -127
    steps = np.expand_dims(scale, axis)
    assert bool((np.abs(integers * steps - weight) <= 0.5001 * steps).all())


def test_a_column_of_zeros_stays_zero() -> None:
    integers, scale = quantize_weight(np.zeros((IN, 2), np.float32), 0)
    assert not integers.any()
    assert bool(np.isfinite(scale).all())


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_product_is_near_to_fp32(*, is_transposed: bool) -> None:
    weight = random_matrix(OUT, IN, 2) if is_transposed else random_matrix(IN, OUT, 2)
    model, x = product(weight, is_transposed=is_transposed), random_matrix(9, IN, 3)
    found, exact = run(quantize_graph(model), x), x @ (weight.T if is_transposed else weight)
    np.testing.assert_allclose(run(model, x), exact, rtol=0, atol=1e-4)
    assert float(np.abs(found - exact).max()) > 0  # it is int8
    # Rounding a row and a column each by half a step, summed over the inner axis.
    largest_x = np.abs(x).max(axis=1, keepdims=True)
    largest_w = np.abs(weight).max(axis=1 if is_transposed else 0)
    limit = IN * largest_x * largest_w * (1 / 127 + 1 / (4 * 127**2))
    assert bool((np.abs(found - exact) <= limit).all())
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.03 * float(np.abs(exact).max()))


def test_a_rows_product_does_not_depend_on_other_rows() -> None:
    model = quantize_graph(product(random_matrix(IN, OUT, 4)))
    rows = random_matrix(6, IN, 5)
    expected = run(model, rows)
    for larger in range(6):
        changed = rows.copy()
        changed[larger] *= 8
        others = np.arange(6) != larger
        np.testing.assert_array_equal(run(model, changed)[others], expected[others])
    np.testing.assert_array_equal(run(model, rows[2:4]), expected[2:4])


def test_a_row_of_zeros_gives_zeros() -> None:
    found = run(quantize_graph(product(random_matrix(IN, OUT, 6))), np.zeros((2, IN), np.float32))
    np.testing.assert_array_equal(found, np.zeros((2, OUT), np.float32))


def test_an_embedding_is_near_to_fp32() -> None:
    weight = random_matrix(10, OUT, 7)
    ids = np.array([3, 0, 9, 3])
    model = graph_of(
        [helper.make_node("Gather", ["weight", "x"], ["y"])], weight, TensorProto.INT64, ["rows"]
    )
    steps = np.abs(weight).max(axis=1, keepdims=True)[ids] / 127
    assert bool((np.abs(run(quantize_graph(model), ids) - weight[ids]) <= 0.5001 * steps).all())


def test_the_weight_is_kept_as_int8_alone_and_the_original_graph_as_it_was() -> None:
    model = product(random_matrix(IN, OUT, 8))
    before = model.SerializeToString()
    stored = {i.name: i.data_type for i in quantize_graph(model).graph.initializer}
    assert stored["weight_int8"] == TensorProto.INT8
    assert "weight" not in stored
    assert model.SerializeToString() == before


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_gemm_becomes_a_product_and_a_sum(has_bias: bool) -> None:
    weight, bias = random_matrix(OUT, IN, 5), random_matrix(1, OUT, 6)[0]
    inputs = ["x", "weight", "bias"] if has_bias else ["x", "weight"]
    node = helper.make_node("Gemm", inputs, ["y"], transB=1)
    model = graph_of([node], weight, TensorProto.FLOAT, ["rows", IN])
    if has_bias:
        model.graph.initializer.append(numpy_helper.from_array(bias, "bias"))
    smaller = quantize_graph(model)
    assert "Gemm" not in {node.op_type for node in smaller.graph.node}
    x = random_matrix(7, IN, 7)
    expected = x @ weight.T + (bias if has_bias else 0)
    found = run(smaller, x)
    assert 0 < float(np.abs(found - expected).max()) < 0.05 * float(np.abs(expected).max())
