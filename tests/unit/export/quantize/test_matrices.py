"""int8 products: near to fp32, and each row by itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.quantize.matrices import quantize_graph, quantize_weight, weight_key

Floats = NDArray[np.float32]
IN, OUT = 48, 20


def random_matrix(rows: int, columns: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def graph_of(
    nodes: list[onnx.NodeProto],
    weight: Floats,
    dtype: int,
    shape: list[str | int],
    **more: NDArray[np.generic],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", None])],
        [numpy_helper.from_array(value, name) for name, value in {"weight": weight, **more}.items()],
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


def test_the_weight_is_kept_as_bytes_alone_and_the_original_graph_as_it_was() -> None:
    model = product(random_matrix(IN, OUT, 8))
    before = model.SerializeToString()
    stored = {i.name: i.data_type for i in quantize_graph(model).graph.initializer}
    assert stored["weight_uint8"] == TensorProto.UINT8
    assert "weight" not in stored
    assert model.SerializeToString() == before


ACTIVATIONS: dict[str, Callable[[], onnx.NodeProto]] = {
    "LayerNormalization": lambda: helper.make_node("LayerNormalization", ["x", "ones"], ["activation"]),
    "Tanh": lambda: helper.make_node("Tanh", ["x"], ["activation"]),
    "Relu": lambda: helper.make_node("Relu", ["x"], ["activation"]),
    "Sigmoid": lambda: helper.make_node("Sigmoid", ["x"], ["activation"]),
}
ONES, BIAS = np.ones(IN, np.float32), random_matrix(1, OUT, 11)[0]


def product_after(
    weight: Floats, after: str, rest: list[onnx.NodeProto], *, is_transposed: bool = False
) -> onnx.ModelProto:
    """What comes out of an operator times a weight (in, out) as `product`, and nodes on from there to y."""
    nodes = [ACTIVATIONS[after](), helper.make_node("MatMul", ["activation", "weight"], ["product"]), *rest]
    if is_transposed:
        weight = np.ascontiguousarray(weight.T)
        nodes[1] = helper.make_node("MatMul", ["activation", "w"], ["product"])
        nodes.insert(0, helper.make_node("Transpose", ["weight"], ["w"], perm=[1, 0]))
    return graph_of(nodes, weight, TensorProto.FLOAT, ["rows", IN], ones=ONES, bias=BIAS)


def plus_bias() -> list[onnx.NodeProto]:
    return [helper.make_node("Add", ["bias", "product"], ["y"])]


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def activation(x: Floats, operator: str) -> Floats:
    if operator == "Tanh":
        return np.tanh(x)
    if operator == "Relu":
        return np.maximum(x, 0)
    if operator == "Sigmoid":
        return np.asarray(1 / (1 + np.exp(-x)), np.float32)
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return np.asarray((x - x.mean(axis=1, keepdims=True)) / deviation, np.float32)


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("after", ACTIVATIONS)
def test_a_calibrated_activation_has_a_constant_scale(after: str, *, is_transposed: bool) -> None:
    weight, x = random_matrix(IN, OUT, 12), random_matrix(9, IN, 13)
    largest = float(np.abs(activation(x, after)).max())
    model = product_after(weight, after, plus_bias(), is_transposed=is_transposed)
    smaller = quantize_graph(model, {weight_key(weight): largest})
    assert operators(smaller)["QuantizeLinear"] == operators(smaller)["MatMulIntegerToFloat"] == 1
    assert not operators(smaller).keys() & {"ReduceMax", "Div", "Mul"}
    steps = [i for i in smaller.graph.initializer if i.name == "activation_step"]
    num_steps = 255 if after == "Relu" else 127  # what is never negative has all bytes for itself
    assert [numpy_helper.to_array(step) for step in steps] == [pytest.approx(largest / num_steps)]
    exact = activation(x, after) @ weight + BIAS
    found = run(smaller, x)
    np.testing.assert_allclose(run(model, x), exact, rtol=0, atol=1e-4)
    assert 0 < float(np.abs(found - exact).max()) < 0.03 * float(np.abs(exact).max())


@pytest.mark.parametrize(
    ("after", "is_calibrated", "only_bounded"),
    [
        *((after, False, False) for after in ACTIVATIONS),
        ("LayerNormalization", False, True),
        ("Relu", True, True),
        ("Sigmoid", True, True),
    ],
)
def test_any_other_activation_has_a_scale_for_each_row(
    after: str, *, is_calibrated: bool, only_bounded: bool
) -> None:
    weight, x = random_matrix(IN, OUT, 14), random_matrix(9, IN, 15)
    model = product_after(weight, after, plus_bias())
    largest = {weight_key(weight): 1.0} if is_calibrated else {}
    smaller = quantize_graph(model, largest, only_bounded=only_bounded)
    assert operators(smaller)["ReduceMax"] == 1
    assert operators(smaller)["Relu"] == (after == "Relu")
    assert operators(smaller)["Add"] == 1  # a row's scale comes before its bias
    exact = run(model, x)
    assert 0 < float(np.abs(run(smaller, x) - exact).max()) < 0.03 * float(np.abs(exact).max())


@pytest.mark.parametrize("after", ["LayerNormalization", "Tanh"])
def test_of_what_has_a_known_size_the_scale_is_constant_in_the_more_exact_form_too(after: str) -> None:
    weight = random_matrix(IN, OUT, 26)
    model, largest = product_after(weight, after, plus_bias()), {weight_key(weight): 1.0}
    exacter = quantize_graph(model, largest, only_bounded=True)
    assert exacter.SerializeToString() == quantize_graph(model, largest).SerializeToString()


@pytest.mark.parametrize(("after", "lowest"), [("Tanh", -128 / 127 * 0.25), ("Relu", 0.0)])
def test_what_is_beyond_the_largest_is_cut(after: str, lowest: float) -> None:
    weight, x = random_matrix(IN, OUT, 16), random_matrix(9, IN, 17)
    smaller = quantize_graph(product_after(weight, after, plus_bias()), {weight_key(weight): 0.25})
    values = activation(x, after)
    assert float(np.abs(values).max()) > 0.9
    cut = np.clip(values, lowest, 0.25) @ weight + BIAS
    np.testing.assert_allclose(run(smaller, x), cut, rtol=0, atol=0.03 * float(np.abs(cut).max()))


def rounded(values: Floats, step: float) -> Floats:
    """As bytes from 0 on hold them."""
    return np.asarray(np.clip(np.rint(values / np.float32(step)), 0, 255) * np.float32(step), np.float32)


def as_stored(weight: Floats) -> Floats:
    integers, scale = quantize_weight(weight, axis=0)
    return integers * scale


def test_a_relu_is_the_cut_at_0_of_the_bytes_that_products_read() -> None:
    weight, x = random_matrix(IN, OUT, 27), random_matrix(9, IN, 28)
    largest = float(x.max())
    model = product_after(weight, "Relu", plus_bias())
    smaller = quantize_graph(model, {weight_key(weight): largest})
    assert operators(smaller) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 1}
    values = rounded(activation(x, "Relu"), largest / 255)
    assert float(np.abs(values - activation(x, "Relu")).max()) <= 0.5001 * largest / 255
    np.testing.assert_allclose(run(smaller, x), values @ as_stored(weight) + BIAS, rtol=0, atol=1e-4)


def test_a_relu_that_somebody_else_reads_stays_for_him() -> None:
    weight, x = random_matrix(IN, OUT, 29), random_matrix(9, IN, 30)
    rest = [
        helper.make_node("ReduceSum", ["activation", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["product", "sum"], ["y"]),
    ]
    model, largest = product_after(weight, "Relu", rest), float(x.max())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
    smaller = quantize_graph(model, {weight_key(weight): largest})
    assert operators(smaller)["Relu"] == 1
    values = activation(x, "Relu")
    expected = rounded(values, largest / 255) @ as_stored(weight) + values.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(smaller, x), expected, rtol=0, atol=1e-4)


def test_one_activation_may_be_quantized_by_a_constant_and_by_row() -> None:
    """If only one of the products that read it is calibrated."""
    weight, other, x = random_matrix(IN, OUT, 31), random_matrix(IN, OUT, 32), random_matrix(9, IN, 33)
    rest = [
        helper.make_node("MatMul", ["activation", "other"], ["second"]),
        helper.make_node("Add", ["product", "second"], ["y"]),
    ]
    model = product_after(weight, "Relu", rest)
    model.graph.initializer.append(numpy_helper.from_array(other, "other"))
    exact = run(model, x)
    for calibrated in (weight, other):
        smaller = quantize_graph(model, {weight_key(calibrated): float(x.max())})
        counts = operators(smaller)
        assert (counts["QuantizeLinear"], counts["ReduceMax"], counts["Relu"]) == (2, 1, 1)
        assert 0 < float(np.abs(run(smaller, x) - exact).max()) < 0.03 * float(np.abs(exact).max())


def test_products_of_one_activation_quantize_it_once() -> None:
    weight, other = random_matrix(IN, OUT, 18), random_matrix(IN, OUT, 19)
    rest = [
        helper.make_node("MatMul", ["activation", "other"], ["second"]),
        helper.make_node("Add", ["product", "second"], ["y"]),
    ]
    model = product_after(weight, "LayerNormalization", rest)
    model.graph.initializer.append(numpy_helper.from_array(other, "other"))
    x = random_matrix(5, IN, 20)
    exact = run(model, x)
    for largest in ({}, {weight_key(weight): 3.5, weight_key(other): 3.5}):
        smaller = quantize_graph(model, largest)
        assert operators(smaller)["QuantizeLinear"] == 1
        assert operators(smaller)["MatMulIntegerToFloat"] == 2
        assert float(np.abs(run(smaller, x) - exact).max()) < 0.03 * float(np.abs(exact).max())


def add(*inputs: str, output: str = "y") -> onnx.NodeProto:
    return helper.make_node("Add", list(inputs), [output])


@pytest.mark.parametrize(
    ("rest", "is_folded", "num_additions"),
    [
        ([add("product", "bias")], True, 0),
        ([add("bias", "product")], True, 0),
        ([add("product", "bias", output="sum"), add("sum", "bias")], True, 1),
        ([add("product", "bias", output="sum"), add("sum", "product")], False, 2),
        (
            [add("product", "bias", output="sum"), helper.make_node("Mul", ["sum", "product"], ["y"])],
            False,
            1,
        ),
        ([add("product", "matrix")], False, 1),
        ([add("product", "product")], False, 1),
    ],
    ids=["alone", "turned", "two in a row", "read twice", "read by another", "a matrix", "itself"],
)
def test_a_product_adds_its_bias_itself_if_nobody_else_reads_it(
    rest: list[onnx.NodeProto], num_additions: int, *, is_folded: bool
) -> None:
    weight, x = random_matrix(IN, OUT, 21), random_matrix(9, IN, 22)
    model = product_after(weight, "Tanh", rest)
    model.graph.initializer.append(numpy_helper.from_array(random_matrix(1, OUT, 23), "matrix"))
    smaller = quantize_graph(model, {weight_key(weight): 1.0})
    product = next(node for node in smaller.graph.node if node.op_type == "MatMulIntegerToFloat")
    assert ("bias" in product.input) == is_folded
    assert operators(smaller)["Add"] == num_additions
    exact = run(model, x)
    assert 0 < float(np.abs(run(smaller, x) - exact).max()) < 0.05 * float(np.abs(exact).max())


@pytest.mark.parametrize("is_calibrated", [True, False])
@pytest.mark.parametrize("after", ACTIVATIONS)
def test_a_rows_result_is_the_same_to_the_last_bit_in_any_batch(after: str, *, is_calibrated: bool) -> None:
    weight = random_matrix(IN, OUT, 24)
    largest: Mapping[str, float] = {weight_key(weight): 2.0} if is_calibrated else {}
    model = quantize_graph(product_after(weight, after, plus_bias()), largest)
    rows = random_matrix(33, IN, 25)
    expected = run(model, rows)
    for first, last in ((0, 2), (5, 9), (16, 33), (1, 33)):
        np.testing.assert_array_equal(run(model, rows[first:last]), expected[first:last])
    changed = rows.copy()
    changed[::2] *= 100
    np.testing.assert_array_equal(run(model, changed)[1::2], expected[1::2])


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
