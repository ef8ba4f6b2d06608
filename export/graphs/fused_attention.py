"""Attention as PyTorch operators that become one node each: ONNX Runtime's GroupQueryAttention.

It reads of each row the positions in use and no more, whatever the other rows hold and however large the
pools are: the result depends on the row alone, to the last bit. 1 / √D is folded into the queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn

from export.graphs.opset import microsoft, opset
from model.networks.attention import MultiHeadAttention, scaled_dot_product_attention


def query_scale(attention: MultiHeadAttention) -> float:
    """What scores are multiplied by, 1 / √D if they are: folded into the queries, it costs nothing."""
    head_size = attention.query.out_features // attention.num_heads
    return float(head_size**-0.5) if attention.is_scaled else 1.0


def scaled_query(attention: MultiHeadAttention) -> nn.Linear:
    """The projection to queries, scaled."""
    return _joined([(attention.query, query_scale(attention))])


def packed_projection(attention: MultiHeadAttention) -> nn.Linear:
    """One projection to scaled queries, keys and values, side by side: E to 3E."""
    return _joined([(attention.query, query_scale(attention)), (attention.key, 1.0), (attention.value, 1.0)])


def _joined(layers: list[tuple[nn.Linear, float]]) -> nn.Linear:
    first = layers[0][0]
    joined = nn.Linear(
        first.in_features, sum(layer.out_features for layer, _ in layers), dtype=first.weight.dtype
    )
    with torch.no_grad():
        joined.weight.copy_(torch.cat([layer.weight * scale for layer, scale in layers]))
        joined.bias.copy_(torch.cat([layer.bias * scale for layer, scale in layers]))
    return joined


@torch.library.custom_op("traghetto::padded_attention", mutates_args=())
def padded_attention(packed: Tensor, last: Tensor, num_heads: int, size: int) -> Tensor:
    """Self-attention of padded sources.

    Args:
        packed: (b, s, 3E), scaled queries, keys and values side by side.
        last: (b) int32, the last position of each source.
        num_heads: H.
        size: s.

    Returns:
        The context (b, s, E).

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1; ONNX Runtime's operator GroupQueryAttention.
    """
    assert packed.shape[1] == size
    query, key, value = packed.unflatten(-1, (3, num_heads, -1)).movedim(-3, 0).transpose(2, 3)
    return _context(query, key, value, last)


@torch.library.custom_op("traghetto::source_attention", mutates_args=())
def source_attention(
    query: Tensor, keys: Tensor, values: Tensor, last: Tensor, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of a step's hypotheses over their sources.

    Args:
        query: (n, W, E), scaled.
        keys, values: Of each source (n, H, C, D).
        last: (n) int32, the last position of each source.
        width: W.

    Returns:
        The context (n, W, E), and keys and values, to be bound in place: ONNX Runtime makes room for
        its scores by the size of these outputs, writes nothing to them, and copies nothing elsewhere.
    """
    assert query.shape[1] == width
    context = _context(query.unflatten(-1, (keys.shape[1], -1)).transpose(1, 2), keys, values, last)
    return context, keys.clone(), values.clone()


def _context(query: Tensor, keys: Tensor, values: Tensor, last: Tensor) -> Tensor:
    """Queries (b, H, t, D) over the first `last` + 1 of keys and values (b, H, s, D): (b, t, E)."""
    is_behind = torch.arange(keys.shape[2], device=keys.device) > last[:, None]  # (b, s)
    values = values.masked_fill(is_behind[:, None, :, None], 0.0)
    context, _ = scaled_dot_product_attention(query, keys, values, is_behind[:, None, None], is_scaled=False)
    return context.transpose(1, 2).flatten(2)


@torch.library.custom_op("traghetto::cached_attention", mutates_args=())
def cached_attention(
    packed: Tensor, keys: Tensor, values: Tensor, column: Tensor, width: int, columns: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Write a token's key and value into its hypothesis' column, and attend over it and those before it.

    Args:
        packed: (n, W, 3E), scaled queries, keys and values side by side.
        keys, values: The caches of h = n·W hypotheses (h, H, M, D).
        column: (h) int32, the column of each.
        width: W.
        columns: M.

    Returns:
        The context (n, W, E), and the caches with the columns written.
    """
    assert (packed.shape[1], keys.shape[2]) == (width, columns)
    num_heads = keys.shape[1]
    query, key, value = packed.reshape(-1, 1, 3, num_heads, keys.shape[3]).permute(2, 0, 3, 1, 4)
    place = column.long()[:, None, None, None].expand(key.shape)
    keys, values = keys.scatter(2, place, key), values.scatter(2, place, value)
    return _context(query, keys, values, column).reshape(*packed.shape[:2], -1), keys, values


@padded_attention.register_fake
def _(packed: Tensor, last: Tensor, num_heads: int, size: int) -> Tensor:  # noqa: ARG001  the operator's
    return packed.new_empty((*packed.shape[:-1], packed.shape[-1] // 3))


@source_attention.register_fake
def _(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    last: Tensor,  # noqa: ARG001
    width: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(keys), torch.empty_like(values)


@cached_attention.register_fake
def _(
    packed: Tensor,
    keys: Tensor,
    values: Tensor,
    column: Tensor,  # noqa: ARG001
    width: int,  # noqa: ARG001
    columns: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:
    context = packed.new_empty((*packed.shape[:-1], packed.shape[-1] // 3))
    return context, torch.empty_like(keys), torch.empty_like(values)


def _padded_to_onnx(packed: Any, last: Any, num_heads: int, size: Any) -> Any:
    return _attention_node(packed, last=last, total_length=size, num_heads=num_heads, causal=0)[0]


def _source_to_onnx(query: Any, keys: Any, values: Any, last: Any, width: Any) -> Any:
    """Keys and values of no length: the pools hold all there are.

    W as the whole length says that hypotheses do not continue each other; without a causal mask it decides
    nothing else.
    """
    zero = opset.Constant(value_ints=[0])
    none = opset.Slice(query, zero, zero, opset.Constant(value_ints=[1]))  # (n, 0, E)
    return _attention_node(
        query,
        new=(none, none),
        past=(keys, values),
        last=last,
        total_length=width,
        num_heads=keys.shape[1],
        causal=0,
    )


def _cached_to_onnx(packed: Any, keys: Any, values: Any, column: Any, width: Any, columns: Any) -> Any:
    size = packed.shape[2]
    single = opset.Reshape(packed, opset.Constant(value_ints=[-1, 1, size]))
    context, new_keys, new_values = _attention_node(
        single,
        past=(keys, values),
        last=column,
        total_length=columns,
        num_heads=keys.shape[1],
        causal=1,
    )
    one = opset.Constant(value_ints=[-1])
    shape = opset.Concat(one, opset.Reshape(width, one), opset.Constant(value_ints=[size // 3]), axis=0)
    return opset.Reshape(context, shape), new_keys, new_values


def _attention_node(
    query: Any,
    *,
    new: tuple[Any, Any] = (None, None),
    past: tuple[Any, Any] = (None, None),
    last: Any,
    total_length: Any,
    num_heads: Any,
    causal: int,
) -> Any:
    """One GroupQueryAttention; its cast to int32 is merged with equal ones when a session loads the graph.

    Args:
        query: Scaled; without `new` with keys and values packed beside.
        new: This step's keys and values.
        past: Those in the pools.
        last: (n) int32, each row's last position.
        total_length: The length of the longest row.
        num_heads: H, of queries, keys and values alike.
        causal: 1 to look at no later position.
    """
    key, value = new
    past_key, past_value = past
    return microsoft.GroupQueryAttention(
        query,
        key,
        value,
        past_key,
        past_value,
        last,
        opset.Cast(total_length, to=TensorProto.INT32),
        num_heads=num_heads,
        kv_num_heads=num_heads,
        scale=1.0,
        causal=causal,
    )


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the exporter writes the operators."""
    operators = torch.ops.traghetto
    return {
        operators.padded_attention.default: _padded_to_onnx,
        operators.source_attention.default: _source_to_onnx,
        operators.cached_attention.default: _cached_to_onnx,
    }
