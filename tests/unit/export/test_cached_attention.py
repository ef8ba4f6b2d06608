"""Attention over a cache equals a loop, in PyTorch as in ONNX Runtime, and a row depends on itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.cached_attention import cached_attention, packed_projection, query_scale, scaled_query
from export.contract import TensorSpec
from export.manifest import DECODER_STEP
from export.onnx_graph import Exported, _export
from export.opset import MICROSOFT, OPSET
from model.attention import MultiHeadAttention
from model.transformer import Transformer
from server.engine.tensors import bind_array

N, H, M, D = 4, 2, 11, 8
E = H * D
POSITIONS = [[0, 0, 0, 0], [10, 0, 3, 7], [1, 5, 6, 2]]
Floats = NDArray[np.float32]
Arrays = tuple[Floats, Floats, Floats]

at_every_position = pytest.mark.parametrize("position", POSITIONS, ids=str)


def random_tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs_at(position: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Packed queries, keys and values, caches full of noise, and the columns."""
    packed = random_tensor(N, 1, 3 * E, seed=1)
    keys, values = random_tensor(N, H, M, D, seed=2), random_tensor(N, H, M, D, seed=3)
    return packed, keys, values, torch.tensor(position, dtype=torch.int32)


def loop(packed: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    keys, values, context = keys.clone(), values.clone(), torch.empty(N, 1, E)
    for row in range(N):
        columns = int(position[row]) + 1
        for head in range(H):
            query, key, value = (packed[row, 0, part * E + head * D :][:D] for part in range(3))
            keys[row, head, columns - 1], values[row, head, columns - 1] = key, value
            weights = torch.softmax(
                torch.stack([query.dot(keys[row, head, column]) for column in range(columns)]), dim=0
            )
            context[row, 0, head * D :][:D] = sum(
                (weights[column] * values[row, head, column] for column in range(columns)), torch.zeros(D)
            )
    return context, keys, values


@pytest.fixture(scope="module")
def node() -> onnxruntime.InferenceSession:
    """The operator as the exporter writes it."""

    class Attend(nn.Module):
        def forward(self, packed: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Any:
            return cached_attention(packed, keys, values, position, H)

    cache = ("hypotheses", H, "columns", D)
    caches = [TensorSpec(name, "float32", cache) for name in ("keys", "values")]
    graph = _export(
        Attend(),
        [
            TensorSpec("packed", "float32", ("hypotheses", 1, 3 * E)),
            *caches,
            TensorSpec("position", "int32", ("hypotheses",)),
        ],
        [
            TensorSpec("context", "float32", ("hypotheses", 1, E)),
            *(TensorSpec(f"{spec.name}_out", spec.dtype, spec.shape) for spec in caches),
        ],
    )
    return onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(node: onnxruntime.InferenceSession, inputs: Sequence[Tensor]) -> Arrays:
    """Context, keys and values of the node."""
    names = ("packed", "keys", "values", "position")
    feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    context, keys, values = node.run(["context", "keys_out", "values_out"], feeds)
    return np.asarray(context), np.asarray(keys), np.asarray(values)


@at_every_position
def test_it_equals_a_loop_and_leaves_its_input_alone(position: list[int]) -> None:
    inputs = inputs_at(position)
    before = [tensor.clone() for tensor in inputs]
    found = cached_attention(*inputs, H)
    for ours, theirs in zip(found, loop(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    for now, then in zip(inputs, before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0)


@at_every_position
def test_onnx_runtimes_node_equals_it(node: onnxruntime.InferenceSession, position: list[int]) -> None:
    inputs = inputs_at(position)
    context, keys, values = cached_attention(*inputs, H)
    found = run(node, inputs)
    np.testing.assert_allclose(found[0], context.numpy(), rtol=0, atol=1e-5)
    for ours, theirs in zip(found[1:], (keys, values), strict=True):
        for row, column in enumerate(position):  # ONNX Runtime zeroes those behind
            np.testing.assert_array_equal(ours[row, :, : column + 1], theirs[row, :, : column + 1])


def test_its_shapes_and_schema_are_what_the_exporter_is_told() -> None:
    torch.library.opcheck(
        torch.ops.traghetto.cached_attention.default,
        (*inputs_at(POSITIONS[1]), H),
        test_utils=("test_schema", "test_faketensor"),
    )


@at_every_position
def test_what_stands_behind_a_position_is_not_read_whatever_it_is(
    node: onnxruntime.InferenceSession, position: list[int]
) -> None:
    packed, keys, values, columns = inputs_at(position)
    is_later = (torch.arange(M) > columns[:, None])[:, None, :, None]
    operators: list[Callable[..., Any]] = [lambda *i: cached_attention(*i, H), lambda *i: run(node, i)]
    for operator in operators:
        expected = operator(packed, keys, values, columns)[0]
        for garbage in (0.0, 1e30, float("nan")):
            spoilt = [cache.masked_fill(is_later, garbage) for cache in (keys, values)]
            np.testing.assert_array_equal(operator(packed, *spoilt, columns)[0], expected)


def test_a_larger_cache_changes_not_one_bit(node: onnxruntime.InferenceSession) -> None:
    packed, keys, values, columns = inputs_at(POSITIONS[1])
    expected = run(node, (packed, keys, values, columns))[0]
    for more in (1, 5, 21, 245):
        larger = [torch.cat((cache, random_tensor(N, H, more, D, seed=4)), dim=2) for cache in (keys, values)]
        np.testing.assert_array_equal(run(node, (packed, *larger, columns))[0], expected)


def test_other_rows_change_not_one_bit(node: onnxruntime.InferenceSession) -> None:
    """Neither what they hold, nor at which position they are, nor how many there are."""
    inputs = inputs_at(POSITIONS[1])
    expected = run(node, inputs)
    for row in range(N):
        alone = run(node, [tensor[row : row + 1] for tensor in inputs])
        among_others = [random_tensor(*tensor.shape, seed=5) for tensor in inputs[:3]]
        position = torch.tensor([6, 10, 0, 1], dtype=torch.int32)
        for ours, theirs in zip([*among_others, position], inputs, strict=True):
            ours[row] = theirs[row]
        together = run(node, [*among_others, position])
        for together_, alone_, expected_ in zip(together, alone, expected, strict=True):
            np.testing.assert_array_equal(alone_[0], expected_[row])
            np.testing.assert_array_equal(together_[row], expected_[row])


def test_a_cache_bound_as_input_and_output_at_once_gets_its_column_in_place(
    node: onnxruntime.InferenceSession,
) -> None:
    """And no other column changes."""
    inputs = inputs_at(POSITIONS[1])
    written = cached_attention(*inputs, H)[1:]
    context, binding = np.empty((N, 1, E), np.float32), node.io_binding()
    packed, keys, values, columns = (tensor.numpy() for tensor in inputs)
    expected = [run(node, inputs)[0], *(cache.numpy() for cache in written)]
    for name, array in (("packed", packed), ("keys", keys), ("values", values), ("position", columns)):
        bind_array(binding.bind_input, name, array)
    for name, array in (("context", context), ("keys_out", keys), ("values_out", values)):
        bind_array(binding.bind_output, name, array)
    node.run_with_iobinding(binding)
    for ours, theirs in zip((context, keys, values), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_decoder_layer_has_one_node_of_it_and_no_other_graph_any(
    small_model: Transformer, exported: dict[str, Exported]
) -> None:
    for name, graph in exported.items():
        is_step = name == DECODER_STEP
        nodes = Counter(node.op_type for node in graph.model.graph.node)
        assert nodes["GroupQueryAttention"] == (small_model.config.num_decoder_layers if is_step else 0), name
        assert nodes["TensorScatter"] == 0, name
        versions = {opset.domain: opset.version for opset in graph.model.opset_import}
        assert versions[""] == OPSET
        assert {node.domain for node in graph.model.graph.node} == ({"", MICROSOFT} if is_step else {""}), (
            name
        )


@pytest.mark.parametrize("is_scaled", [True, False])
def test_projections_give_what_attention_projects_and_queries_scaled(is_scaled: bool) -> None:
    attention = MultiHeadAttention(E, H, is_scaled=is_scaled)
    x = random_tensor(3, E, seed=6)
    assert query_scale(attention) == (pytest.approx(D**-0.5) if is_scaled else 1.0)
    query = attention.query(x) * query_scale(attention)
    packed = torch.cat((query, attention.key(x), attention.value(x)), dim=-1)
    torch.testing.assert_close(packed_projection(attention)(x), packed, rtol=0, atol=1e-6)
    torch.testing.assert_close(scaled_query(attention)(x), query, rtol=0, atol=1e-6)
