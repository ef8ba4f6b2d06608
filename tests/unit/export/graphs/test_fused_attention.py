"""Attention equals a loop, in PyTorch as in ONNX Runtime, and a row depends on what it may read alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from export.graphs.fused_attention import (
    cached_attention,
    packed_projection,
    padded_attention,
    query_scale,
    scaled_query,
    source_attention,
)
from export.graphs.opset import MICROSOFT, OPSET
from export.graphs.to_onnx import Exported, export_module
from model.networks.attention import MultiHeadAttention
from model.networks.transformer import Transformer
from server.engine.tensors.host import bind_array

N, H, S, D = 4, 2, 11, 8
E = H * D
KINDS = ("padded", "source", "cached")
LASTS = [[0, 0, 0, 0], [10, 0, 3, 7], [1, 5, 6, 2]]
CASES = [("padded", S), ("source", 1), ("source", 2), ("source", 4), ("source", 7), ("cached", 1)]
GARBAGE = (0.0, 1e30, float("nan"))
Sessions = Mapping[str, onnxruntime.InferenceSession]
Contexts = Callable[[str, "Given"], NDArray[np.float32]]

of_each_kind = pytest.mark.parametrize("kind", KINDS)
with_all_lengths = pytest.mark.parametrize("last", LASTS, ids=str)


@dataclass(frozen=True)
class Given:
    """What rows attend with and to, whatever the operator.

    A row is a padded source, a source in a decoder step, or a hypothesis of a cache.

    Args:
        query: (b, t, E), scaled.
        keys, values: (b, H, s, D).
        last: (b) int32, the last position that each may read.
    """

    query: Tensor
    keys: Tensor
    values: Tensor
    last: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Given:
        return Given(*(change(getattr(self, field.name)) for field in fields(self)))

    def is_behind(self) -> Tensor:
        """Which positions none may read, (b, s)."""
        return torch.arange(self.keys.shape[2]) > self.last[:, None]


def random_tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def given(kind: str, last: list[int], num_queries: int = 4, seed: int = 1, size: int = S) -> Given:
    """Noise everywhere; a source attends to itself, a hypothesis has one query at a time."""
    b, t = len(last), {"padded": size, "source": num_queries, "cached": 1}[kind]
    query = random_tensor(b, t, E, seed=seed)
    keys, values = (random_tensor(b, H, size, D, seed=seed + i) for i in (1, 2))
    return Given(query, keys, values, torch.tensor(last, dtype=torch.int32))


def merged(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)  # (b, t, E)


def feeds_of(kind: str, rows: Given, width: int = 1) -> dict[str, Tensor]:
    """An operator's own inputs; what a cache holds in the column that it writes must not matter."""
    if kind == "source":
        return {field.name: getattr(rows, field.name) for field in fields(rows)}
    if kind == "padded":
        packed = torch.cat([rows.query, merged(rows.keys), merged(rows.values)], dim=-1)  # (b, s, 3E)
        return {"packed": packed, "last": rows.last}
    column = rows.last.long()[:, None, None, None].expand(-1, H, 1, D)
    new = [merged(cache.gather(2, column)) for cache in (rows.keys, rows.values)]
    packed = torch.cat([rows.query, *new], dim=-1).reshape(-1, width, 3 * E)  # (n, W, 3E)
    caches = (cache.scatter(2, column, 77.0) for cache in (rows.keys, rows.values))
    return {"packed": packed, **dict(zip(("keys", "values"), caches, strict=True)), "column": rows.last}


class Padded(nn.Module):
    def forward(self, packed: Tensor, last: Tensor) -> Any:
        return padded_attention(packed, last, H, packed.shape[1])


class Source(nn.Module):
    def forward(self, query: Tensor, keys: Tensor, values: Tensor, last: Tensor) -> Any:
        return source_attention(query, keys, values, last, query.shape[1])


class Cached(nn.Module):
    def forward(self, packed: Tensor, keys: Tensor, values: Tensor, column: Tensor) -> Any:
        return cached_attention(packed, keys, values, column, packed.shape[1], keys.shape[2])


OPERATORS: dict[str, nn.Module] = {"padded": Padded(), "source": Source(), "cached": Cached()}


def export(kind: str) -> Exported:
    first, positions = ("hypotheses", "columns") if kind == "cached" else ("rows", "source_capacity")
    names = () if kind == "padded" else ("keys", "values")
    shape = (first, H, positions, D)
    pools, written = ([TensorSpec(name + end, "float32", shape) for name in names] for end in ("", "_out"))
    name, size = ("query", E) if kind == "source" else ("packed", 3 * E)
    times = positions if kind == "padded" else "beam"
    last = TensorSpec("column" if kind == "cached" else "last", "int32", (first,))
    context = TensorSpec("context", "float32", ("rows", times, E))
    inputs = [TensorSpec(name, "float32", ("rows", times, size)), *pools, last]
    return export_module(OPERATORS[kind], inputs, [context, *written])


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    """The operators as the exporter writes them."""
    return {
        kind: onnxruntime.InferenceSession(
            export(kind).model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        for kind in KINDS
    }


def run(session: onnxruntime.InferenceSession, feeds: Mapping[str, Tensor]) -> list[NDArray[np.float32]]:
    """Context, and keys and values if the operator gives them."""
    found = session.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})
    return [np.asarray(array) for array in found]


@pytest.fixture(scope="module", params=["PyTorch", "ONNX Runtime"])
def contexts(request: pytest.FixtureRequest, sessions: Sessions) -> Contexts:
    """What an operator makes of rows (b, t, E), by either."""
    if request.param == "ONNX Runtime":
        return lambda kind, rows: run(sessions[kind], feeds_of(kind, rows))[0]

    def by_pytorch(kind: str, rows: Given) -> NDArray[np.float32]:
        found = OPERATORS[kind](**feeds_of(kind, rows))
        return np.asarray(found.numpy() if kind == "padded" else found[0].numpy())

    return by_pytorch


def in_use(kind: str, context: NDArray[np.float32], rows: Given) -> list[NDArray[np.float32]]:
    """The results of each row; those of padding are nobody's."""
    used = rows.last + 1 if kind == "padded" else [context.shape[1]] * len(rows.last)
    return [context[row, : int(count)] for row, count in enumerate(used)]


def assert_same(kind: str, found: NDArray[np.float32], expected: NDArray[np.float32], rows: Given) -> None:
    """Not one bit differs."""
    for ours, theirs in zip(in_use(kind, found, rows), in_use(kind, expected, rows), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def loop(rows: Given) -> Tensor:
    """One product after the other."""
    context = torch.zeros(rows.query.shape)
    for b, last in enumerate(rows.last.tolist()):
        for t in range(rows.query.shape[1]):
            for head in range(H):
                part = slice(head * D, (head + 1) * D)
                query, keys, values = rows.query[b, t, part], rows.keys[b, head], rows.values[b, head]
                weights = torch.softmax(
                    torch.stack([query.dot(keys[position]) for position in range(last + 1)]), dim=0
                )
                for position, weight in enumerate(weights):
                    context[b, t, part] += weight * values[position]
    return context


def by_pytorchs_own(rows: Given) -> Tensor:
    may_read = ~rows.is_behind()[:, None, None]
    query = rows.query.unflatten(-1, (H, D)).transpose(1, 2)
    return merged(functional.scaled_dot_product_attention(query, rows.keys, rows.values, may_read, scale=1.0))


@pytest.mark.parametrize(("kind", "num_queries"), CASES)
@with_all_lengths
def test_it_equals_a_loop_and_pytorchs_own_and_leaves_its_input_alone(
    contexts: Contexts, kind: str, last: list[int], num_queries: int
) -> None:
    """Of more hypotheses than a source has tokens, too; and of sources of one token."""
    rows = given(kind, last, num_queries)
    before = rows.map(torch.clone)
    found = in_use(kind, contexts(kind, rows), rows)
    for expected in (loop(rows), by_pytorchs_own(rows)):
        for ours, theirs in zip(found, in_use(kind, expected.numpy(), rows), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    for field in fields(rows):
        assert torch.equal(getattr(rows, field.name), getattr(before, field.name))


@of_each_kind
@with_all_lengths
def test_what_stands_behind_a_length_is_not_read_whatever_it_is(
    contexts: Contexts, kind: str, last: list[int]
) -> None:
    rows = given(kind, last)
    expected, is_behind = contexts(kind, rows), rows.is_behind()
    for garbage in GARBAGE:
        query = rows.query.masked_fill(is_behind[:, :, None], garbage) if kind == "padded" else rows.query
        keys, values = (
            cache.masked_fill(is_behind[:, None, :, None], garbage) for cache in (rows.keys, rows.values)
        )
        assert_same(kind, contexts(kind, Given(query, keys, values, rows.last)), expected, rows)


@of_each_kind
@with_all_lengths
def test_more_positions_change_not_one_bit(sessions: Sessions, kind: str, last: list[int]) -> None:
    """Larger pools, or more padding."""
    rows = given(kind, last)
    expected = run(sessions[kind], feeds_of(kind, rows))[0]
    for more in (1, 5, 21, 245):
        longer = given(kind, last, seed=4, size=S + more)
        query = rows.query
        if kind == "padded":
            longer.query[:, :S], query = query, longer.query
        for ours, theirs in ((longer.keys, rows.keys), (longer.values, rows.values)):
            ours[:, :, :S] = theirs
        found = run(sessions[kind], feeds_of(kind, Given(query, longer.keys, longer.values, rows.last)))
        assert_same(kind, found[0], expected, rows)


@pytest.mark.parametrize(("kind", "num_queries"), CASES)
def test_fewer_positions_change_not_one_bit(sessions: Sessions, kind: str, num_queries: int) -> None:
    """Down to those that are read, each row alone; of a pool ONNX Runtime wants one for each hypothesis."""
    rows = given(kind, LASTS[1], num_queries)
    expected = in_use(kind, run(sessions[kind], feeds_of(kind, rows))[0], rows)
    for row, last in enumerate(rows.last.tolist()):
        size = max(last + 1, num_queries if kind == "source" else 1)
        query = rows.query[row : row + 1, : size if kind == "padded" else None]
        keys, values = (cache[row : row + 1, :, :size] for cache in (rows.keys, rows.values))
        own = Given(query, keys, values, rows.last[row : row + 1])
        found = run(sessions[kind], feeds_of(kind, own))[0]
        np.testing.assert_array_equal(found[0], expected[row])


@pytest.mark.parametrize(("kind", "num_queries"), CASES)
def test_other_rows_change_not_one_bit(sessions: Sessions, kind: str, num_queries: int) -> None:
    """Neither what they hold, nor how much of it they read, nor how many there are."""
    rows = given(kind, LASTS[1], num_queries)
    expected = in_use(kind, run(sessions[kind], feeds_of(kind, rows))[0], rows)
    for row in range(N):
        own = rows.map(lambda tensor, row=row: tensor[row : row + 1])  # type: ignore[misc]
        alone = run(sessions[kind], feeds_of(kind, own))[0]
        among_others = given(kind, [6, 10, 0, 1, 9], num_queries, seed=5)
        for field in fields(rows):
            getattr(among_others, field.name)[row] = getattr(rows, field.name)[row]
        together = run(sessions[kind], feeds_of(kind, among_others))[0]
        used = len(expected[row])
        np.testing.assert_array_equal(alone[0, :used], expected[row])
        np.testing.assert_array_equal(together[row, :used], expected[row])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_hypotheses_side_by_side_write_and_read_each_its_own_cache(sessions: Sessions, width: int) -> None:
    """To the last bit as if each were a row."""
    rows = given("cached", LASTS[1])
    expected = [torch.from_numpy(array) for array in run(sessions["cached"], feeds_of("cached", rows))]
    feeds = feeds_of("cached", rows, width)
    by_pytorch = OPERATORS["cached"](**feeds)
    by_node = run(sessions["cached"], feeds)
    assert by_node[0].shape == by_pytorch[0].shape == (N // width, width, E)
    np.testing.assert_array_equal(by_node[0].reshape(N, 1, E), expected[0])
    torch.testing.assert_close(by_pytorch[0].reshape(N, 1, E), expected[0], rtol=0, atol=1e-5)
    for found in (by_pytorch[1:], [torch.from_numpy(array) for array in by_node[1:]]):
        for cache, whole in zip(found, (rows.keys, rows.values), strict=True):
            for row, last in enumerate(rows.last.tolist()):  # ONNX Runtime zeroes those behind
                assert torch.equal(cache[row, :, : last + 1], whole[row, :, : last + 1])


@pytest.mark.parametrize("kind", ["source", "cached"])
@with_all_lengths
def test_pools_bound_as_input_and_output_at_once_change_in_the_column_written_alone(
    sessions: Sessions, kind: str, last: list[int]
) -> None:
    """Memory is not written at all; and what is read does not depend on how it is bound."""
    rows = given(kind, last)
    feeds = {name: tensor.numpy() for name, tensor in feeds_of(kind, rows).items()}
    expected = [
        run(sessions[kind], feeds_of(kind, rows))[0],
        *(cache.numpy().copy() for cache in (rows.keys, rows.values)),
    ]
    context, binding = np.empty_like(rows.query.numpy()), sessions[kind].io_binding()
    for name, array in feeds.items():
        bind_array(binding.bind_input, name, array)
    for name, array in (("context", context), ("keys_out", feeds["keys"]), ("values_out", feeds["values"])):
        bind_array(binding.bind_output, name, array)
    sessions[kind].run_with_iobinding(binding)
    for ours, theirs in zip((context, feeds["keys"], feeds["values"]), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@of_each_kind
def test_its_shapes_and_schema_are_what_theexporter_is_told(kind: str) -> None:
    feeds = feeds_of(kind, given(kind, LASTS[1]), width=2)
    more = {"padded": (H, S), "source": (4,), "cached": (2, S)}[kind]
    torch.library.opcheck(
        getattr(torch.ops.traghetto, f"{kind}_attention").default,
        (*feeds.values(), *more),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_each_layers_attentions_are_one_node_each_and_no_other_graph_has_any(
    small_model: Transformer, exported: dict[str, Exported]
) -> None:
    config = small_model.config
    expected: dict[str, int] = {
        GraphName.ENCODER: config.num_encoder_layers,
        GraphName.DECODER_STEP: 2 * config.num_decoder_layers,
    }
    for name, graph in exported.items():
        nodes = Counter(node.op_type for node in graph.model.graph.node)
        assert nodes["GroupQueryAttention"] == expected.get(name, 0), name
        assert nodes["TensorScatter"] == 0, name
        versions = {opset.domain: opset.version for opset in graph.model.opset_import}
        assert versions[""] == OPSET
        domains = {"", MICROSOFT} if name in expected else {""}
        assert {node.domain for node in graph.model.graph.node} == domains, name
        if name in expected:
            assert nodes["Softmax"] == 0, name


@pytest.mark.parametrize("is_scaled", [True, False])
def test_projections_give_what_attention_projects_and_queries_scaled(is_scaled: bool) -> None:
    attention = MultiHeadAttention(E, H, is_scaled=is_scaled)
    x = random_tensor(3, E, seed=6)
    assert query_scale(attention) == (pytest.approx(D**-0.5) if is_scaled else 1.0)
    query = attention.query(x) * query_scale(attention)
    packed = torch.cat((query, attention.key(x), attention.value(x)), dim=-1)
    torch.testing.assert_close(packed_projection(attention)(x), packed, rtol=0, atol=1e-6)
    torch.testing.assert_close(scaled_query(attention)(x), query, rtol=0, atol=1e-6)
