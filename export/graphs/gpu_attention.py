"""Attention over padded sources as a GPU is to compute it: the standard operator with a length for each row.

Of ONNX Runtime's operators it is the one whose kernel reads that length on every card: its Flash kernel
gets the lengths in a buffer of their own, with cuDNN and without. GroupQueryAttention, which CPUs use,
passes Flash the padded length where all queries are new, and cuDNN one buffer for the lengths of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from export.graphs.opset import opset
from model.networks.attention import scaled_dot_product_attention


@torch.library.custom_op("traghetto::counted_attention", mutates_args=())
def counted_attention(query: Tensor, keys: Tensor, values: Tensor, length: Tensor, num_heads: int) -> Tensor:
    """Attention over the first positions of each row, whatever its query's own position.

    Args:
        query: (b, t, E), scaled.
        keys, values: (b, s, E) or (b, s, H, D), a position's heads side by side.
        length: (b) int64, the positions of each row that count, at least 1.
        num_heads: H.

    Returns:
        The context (b, t, E).

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1; ONNX's operator Attention, version 24.
    """
    keys, values = (x if x.dim() == query.dim() else x.flatten(2) for x in (keys, values))  # (b, s, E)
    is_behind = torch.arange(keys.shape[1], device=keys.device) >= length[:, None]  # (b, s)
    values = values.masked_fill(is_behind[:, :, None], 0.0)
    by_head = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (query, keys, values))
    queries, keys, values = by_head  # (b, H, t or s, D)
    context, _ = scaled_dot_product_attention(
        queries, keys, values, is_behind[:, None, None], is_scaled=False
    )
    return context.transpose(1, 2).flatten(2)


@counted_attention.register_fake
def _(query: Tensor, keys: Tensor, values: Tensor, length: Tensor, num_heads: int) -> Tensor:  # noqa: ARG001
    return torch.empty_like(query)


def _to_onnx(query: Any, keys: Any, values: Any, length: Any, num_heads: int) -> Any:
    return opset.Attention(
        query,
        _side_by_side(keys),
        _side_by_side(values),
        None,
        None,
        None,
        length,
        q_num_heads=num_heads,
        kv_num_heads=num_heads,
        scale=1.0,
    )[0]


def _side_by_side(positions: Any) -> Any:
    """(b, s, H, D) as (b, s, E).

    E stands in the graph as a number: ONNX Runtime takes a size that it does not know for 0 here.
    """
    if len(positions.shape) == 3:
        return positions
    size = positions.shape[2] * positions.shape[3]
    return opset.Reshape(positions, opset.Constant(value_ints=[0, 0, size]))


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the exporter writes the operator: as one node."""
    return {torch.ops.traghetto.counted_attention.default: _to_onnx}
