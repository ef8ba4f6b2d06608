"""The graphs of a Transformer as a GPU is to run them: other attention over the source, other pools for it.

A source position's heads lie side by side, as its product gives them: nothing is transposed.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from export.contract.tensors import SOURCE_AXIS, Pools
from export.graphs.gpu_attention import counted_attention
from export.graphs.transformer import (
    AttentionGraph,
    TransformerEncoderGraph,
    TransformerStepGraph,
    transformer_pools,
)
from model.networks.attention import MultiHeadAttention
from model.networks.transformer import Transformer


def gpu_pools(model: Transformer) -> Pools:
    """`transformer_pools`, with keys and values of the source as (C, H, D)."""
    pools = transformer_pools(model)
    heads, size = model.config.num_heads, model.config.head_size
    shape = ("rows", SOURCE_AXIS, heads, size)
    return replace(pools, memory=tuple(replace(spec, shape=shape) for spec in pools.memory))


class GpuEncoderGraph(TransformerEncoderGraph):
    """Each decoder layer's keys and values (b, s, H, D) of the source."""

    def __init__(self, model: Transformer) -> None:
        super().__init__(model)
        self.pools = gpu_pools(model)

    def extent(self, source_length: Tensor) -> Tensor:
        """What `attend` is told of each source's length (b): the length."""
        return source_length

    def attend(self, packed: Tensor, extent: Tensor, num_heads: int, size: int) -> Tensor:
        """Self-attention (b, s, E) of scaled queries, keys and values side by side (b, s, 3E)."""
        assert packed.shape[1] == size
        attended: Tensor = counted_attention(*packed.chunk(3, dim=-1), extent, num_heads)
        return attended

    def project(self, attention: MultiHeadAttention, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """A decoder layer's keys and values (b, s, H, D) of the source."""
        heads = (attention.num_heads, -1)
        return attention.key(encoded).unflatten(-1, heads), attention.value(encoded).unflatten(-1, heads)


class GpuStepGraph(TransformerStepGraph):
    """One step of a Transformer's decoder, over memory (n, C, H, D) that it reads and does not return."""

    def __init__(self, model: Transformer) -> None:
        super().__init__(model)
        self.pools = gpu_pools(model)

    def extent(self, source_length: Tensor) -> Tensor:
        """What `look_up` is told of each source's length (n): the length."""
        return source_length

    def look_up(self, query: Tensor, keys: Tensor, values: Tensor, extent: Tensor) -> tuple[Tensor, ...]:
        """The context (n, W, E) of queries in keys and values."""
        return (counted_attention(query, keys, values, extent, keys.shape[2]),)


class GpuAttentionGraph(AttentionGraph):
    """`AttentionGraph` over keys (n, C, H, D)."""

    def by_head(self, keys: Tensor) -> Tensor:
        """A layer's keys as (n, H, C, D)."""
        return keys.transpose(1, 2)
