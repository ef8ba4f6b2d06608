"""The graphs of a Transformer: pools of keys and values, and of states where layers recur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from export.contract.tensors import SOURCE_AXIS, Pools, TensorSpec
from export.graphs.fused_attention import (
    cached_attention,
    packed_projection,
    padded_attention,
    scaled_query,
    source_attention,
)
from export.graphs.step import DecoderStepGraph, EncoderGraph, StepInputs, StepOutputs, is_beyond
from model.networks.attention import MultiHeadAttention
from model.networks.ssru import SSRU, next_state
from model.networks.transformer import (
    AnyDecoderLayer,
    DecoderLayer,
    EncoderLayer,
    SSRUDecoderLayer,
    Transformer,
)


def transformer_pools(model: Transformer) -> Pools:
    """Keys and values of each decoder layer, of the target so far (H, M, D) and of the source (H, C, D).

    A layer with an SSRU has its state (E) in place of the former.
    """
    heads, size = model.config.num_heads, model.config.head_size
    layers = list(enumerate(_decoder_layers(model)))
    names = [f"{part}_{i}" for i, _ in layers for part in ("key", "value")]
    attentive = {f"{part}_{i}" for i, x in layers if isinstance(x, DecoderLayer) for part in ("key", "value")}
    return Pools(
        caches=tuple(
            TensorSpec(f"self_{name}", "float32", ("hypotheses", heads, "columns", size))
            for name in names
            if name in attentive
        ),
        states=tuple(
            TensorSpec(f"state_{i}", "float32", ("rows", "beam", model.config.model_size))
            for i, layer in layers
            if isinstance(layer, SSRUDecoderLayer)
        ),
        memory=tuple(
            TensorSpec(f"cross_{name}", "float32", ("rows", heads, SOURCE_AXIS, size)) for name in names
        ),
    )


def _decoder_layers(model: Transformer) -> list[AnyDecoderLayer]:
    return [cast("AnyDecoderLayer", layer) for layer in model.decoder_layers]


class TransformerEncoderGraph(EncoderGraph):
    """Each decoder layer's keys and values of the source."""

    def __init__(self, model: Transformer) -> None:
        super().__init__(transformer_pools(model))
        self.model = model
        self.layers = [cast("EncoderLayer", layer) for layer in model.encoder_layers]
        self.packed = nn.ModuleList(packed_projection(layer.self_attention) for layer in self.layers)

    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        """Keys and values of each decoder layer, (b, H, s, D) as `project` gives them."""
        size = source.shape[1]
        extent = self.extent(source_length)
        x = self.model.source_embedding(source, torch.arange(size, device=source.device))  # (b, s, E)
        for layer, packed in zip(self.layers, self.packed, strict=True):
            attention = layer.self_attention
            inner = packed(layer.around_self.before(x))
            attended = attention.output(self.attend(inner, extent, attention.num_heads, size))
            x = layer.around_self.after(x, attended)
            x = layer.around_feed_forward.after(x, layer.feed_forward(layer.around_feed_forward.before(x)))
        encoded = self.model.encoder_norm(x)
        pairs = (self.project(layer.cross_attention, encoded) for layer in _decoder_layers(self.model))
        return [tensor for pair in pairs for tensor in pair]

    def extent(self, source_length: Tensor) -> Tensor:
        """What `attend` is told of each source's length (b): its last position."""
        return source_length.int() - 1

    def attend(self, packed: Tensor, extent: Tensor, num_heads: int, size: int) -> Tensor:
        """Self-attention (b, s, E) of scaled queries, keys and values side by side (b, s, 3E)."""
        attended: Tensor = padded_attention(packed, extent, num_heads, size)
        return attended

    def project(self, attention: MultiHeadAttention, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """A decoder layer's keys and values of the source, as its pools have them."""
        return attention.project_memory(encoded)


class TransformerStepGraph(DecoderStepGraph):
    """One step of a Transformer's decoder.

    Each hypothesis has a row of its own in the caches; the W of a sequence share one row of memory.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__(model, transformer_pools(model))
        self.model = model
        layers = _decoder_layers(model)
        self.packed = nn.ModuleList(_looking_back(layer) for layer in layers)
        self.cross_query = nn.ModuleList(scaled_query(layer.cross_attention) for layer in layers)

    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token: caches (n·W, H, M, D), states (n, W, E), memory (n, H, C, D)."""
        extent = self.extent(inputs.source_length)
        column = inputs.position.int()[:, None].expand(inputs.token.shape).flatten()  # (n·W)
        x = self.model.target_embedding(inputs.token, inputs.position[:, None])  # (n, W, E)
        written: list[Tensor] = []
        advanced: list[Tensor] = []
        queries: list[Tensor] = []
        read: list[Tensor] = []
        for i, layer in enumerate(_decoder_layers(self.model)):
            inner = layer.around_self.before(x)
            if isinstance(layer, DecoderLayer):
                keys, values = caches[len(written) : len(written) + 2]
                attended, *pair = self.attend_to_itself(i, inner, keys, values, column)
                written += pair
                x = layer.around_self.after(x, attended)
            else:
                state = self.recur(i, inner, states[len(advanced)], inputs)
                advanced.append(state)
                x = layer.around_self.after(x, state.relu())
            keys, values = memory[2 * i : 2 * i + 2]
            attended, query, *pair = self.attend_to_source(
                i, layer.around_cross.before(x), keys, values, extent
            )
            queries.append(query)
            read += pair
            x = layer.around_cross.after(x, attended)
            x = layer.around_feed_forward.after(x, layer.feed_forward(layer.around_feed_forward.before(x)))
        return StepOutputs(self.model.decoder_norm(x), queries, caches=written, states=advanced, memory=read)

    def attend_to_itself(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Layer i's self-attention (n, W, E), and its caches with this step written."""
        context, keys, values = cached_attention(
            self.packed[i](x), keys, values, column, x.shape[1], keys.shape[2]
        )
        layer = cast("DecoderLayer", self.model.decoder_layers[i])
        return layer.self_attention.output(context), keys, values

    def recur(self, i: int, x: Tensor, state: Tensor, inputs: StepInputs) -> Tensor:
        """Layer i's state (n, W, E) after this step, from that of each hypothesis' parent."""
        assert inputs.parent is not None
        state = state.gather(1, inputs.parent[:, :, None].expand_as(state))
        is_first = (inputs.position == 0)[:, None, None]  # (n, 1, 1)
        state = torch.where(is_first, torch.zeros_like(state), state)
        candidate, keep = self.packed[i](x).chunk(2, dim=-1)
        return next_state(state, candidate, torch.sigmoid(keep))

    def extent(self, source_length: Tensor) -> Tensor:
        """What `look_up` is told of each source's length (n): its last position."""
        return source_length.int() - 1

    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, extent: Tensor
    ) -> tuple[Tensor, ...]:
        """Layer i's attention over the source (n, W, E), its queries (n, W, E), and what `look_up` adds."""
        query = self.cross_query[i](x)
        context, *memory = self.look_up(query, keys, values, extent)
        return _decoder_layers(self.model)[i].cross_attention.output(context), query, *memory

    def look_up(self, query: Tensor, keys: Tensor, values: Tensor, extent: Tensor) -> tuple[Tensor, ...]:
        """The context (n, W, E) of queries in keys and values; and these, where the operator gives them."""
        attended: tuple[Tensor, ...] = source_attention(query, keys, values, extent, query.shape[1])
        return attended


def _looking_back(layer: AnyDecoderLayer) -> nn.Linear:
    """All that a layer computes of its own input before it looks back, in one product."""
    if isinstance(layer, DecoderLayer):
        return packed_projection(layer.self_attention)
    return candidate_and_gate(cast("SSRU", layer.ssru))


def candidate_and_gate(unit: SSRU) -> nn.Linear:
    """An SSRU's two products side by side: E to 2E."""
    size, weight = unit.candidate.in_features, unit.candidate.weight
    packed = nn.Linear(size, 2 * size, dtype=weight.dtype)
    with torch.no_grad():
        packed.weight.copy_(torch.cat((weight, unit.keep_gate.weight)))
        packed.bias.copy_(torch.cat((torch.zeros_like(unit.keep_gate.bias), unit.keep_gate.bias)))
    return packed


class AttentionGraph(nn.Module):
    """What each layer of a step attended to, of the queries that the step gives: nobody else need pay for it.

    Args:
        num_heads: H.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads

    def forward(self, source_length: Tensor, *queries_and_keys: Tensor) -> tuple[Tensor, ...]:
        """Scaled queries (n, W, E) and then keys (n, H, C, D) of all layers to weights (n, H, W, C)."""
        num_layers = len(queries_and_keys) // 2
        queries, keys = (
            queries_and_keys[:num_layers],
            [self.by_head(k) for k in queries_and_keys[num_layers:]],
        )
        is_padding = is_beyond(source_length, keys[0].shape[2])[:, None, None]  # (n, 1, 1, C)
        found = []
        for query, key in zip(queries, keys, strict=True):
            split = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (n, H, W, D)
            scores = (split @ key.transpose(2, 3)).masked_fill(is_padding, -torch.inf)
            found.append(scores.softmax(dim=-1))
        return tuple(found)

    def by_head(self, keys: Tensor) -> Tensor:
        """A layer's keys as (n, H, C, D)."""
        return keys
