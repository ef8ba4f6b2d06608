"""Self-attention of one new token over a cache, as a PyTorch operator and as one node of ONNX Runtime's.

ONNX Runtime reads of each row the columns in use and no more, whatever the other rows hold and however
large the cache is: the result depends on the row alone, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn

from export.opset import microsoft, opset
from model.attention import MultiHeadAttention


def query_scale(attention: MultiHeadAttention) -> float:
    """What scores are multiplied by, 1 / √D if they are: folded into the queries, it costs no step anything.

    ONNX Runtime multiplies twice as fast by a product without a factor (840 against 417 µs for 64 rows of 8
    heads, 32 columns).
    """
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


@torch.library.custom_op("traghetto::cached_attention", mutates_args=())
def cached_attention(
    packed: Tensor, keys: Tensor, values: Tensor, position: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Write a token's key and value into its row's column, and attend over that column and those before it.

    Args:
        packed: (h, 1, 3E), scaled queries, keys and values of h hypotheses side by side.
        keys, values: The caches (h, H, M, D).
        position: (h) int32, the column of each row.
        num_heads: H.

    Returns:
        The context (h, 1, E), and the caches with the columns written.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1; ONNX Runtime's operator GroupQueryAttention.
    """
    query, key, value = (
        packed.unflatten(-1, (3, num_heads, -1)).movedim(-3, 0).transpose(2, 3)
    )  # (h, H, 1, D)
    column = position.long()[:, None, None, None].expand(key.shape)
    keys, values = keys.scatter(2, column, key), values.scatter(2, column, value)
    is_later = torch.arange(keys.shape[2], device=keys.device) > position[:, None]  # (h, M)
    scores = (query @ keys.transpose(2, 3)).masked_fill(is_later[:, None, None], -torch.inf)
    context = scores.softmax(dim=-1) @ values.masked_fill(is_later[:, None, :, None], 0.0)  # (h, H, 1, D)
    return context.transpose(1, 2).flatten(2), keys, values


@cached_attention.register_fake
def _(
    packed: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,  # noqa: ARG001  the operator's arguments
    num_heads: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:
    context = packed.new_empty((*packed.shape[:-1], packed.shape[-1] // 3))
    return context, torch.empty_like(keys), torch.empty_like(values)


def _to_onnx(packed: Any, keys: Any, values: Any, position: Any, num_heads: int) -> Any:
    columns = opset.Cast(opset.Squeeze(opset.Shape(keys, start=2, end=3)), to=TensorProto.INT32)
    return microsoft.GroupQueryAttention(
        packed,
        None,
        None,
        keys,
        values,
        position,
        columns,
        num_heads=num_heads,
        kv_num_heads=num_heads,
        scale=1.0,
    )


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the exporter writes the operator: as one node."""
    return {torch.ops.traghetto.cached_attention.default: _to_onnx}
