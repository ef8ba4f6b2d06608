"""The two graphs of a Transformer: pools of keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from export.cached_attention import cached_attention, packed_projection, scaled_query
from export.contract import SOURCE_AXIS, Pools, TensorSpec
from export.step_graph import DecoderStepGraph, EncoderGraph, StepInputs, StepOutputs, is_beyond
from model.attention import scaled_dot_product_attention
from model.transformer import DecoderLayer, Transformer


def transformer_pools(model: Transformer) -> Pools:
    """Keys and values of each decoder layer, of the target so far (H, M, D) and of the source (H, C, D)."""
    heads, size = model.config.num_heads, model.config.head_size
    names = [f"{part}_{i}" for i in range(model.config.num_decoder_layers) for part in ("key", "value")]
    return Pools(
        caches=tuple(
            TensorSpec(f"self_{name}", "float32", ("hypotheses", heads, "columns", size)) for name in names
        ),
        memory=tuple(
            TensorSpec(f"cross_{name}", "float32", ("rows", heads, SOURCE_AXIS, size)) for name in names
        ),
    )


def _decoder_layers(model: Transformer) -> list[DecoderLayer]:
    return [cast("DecoderLayer", layer) for layer in model.decoder_layers]


class TransformerEncoderGraph(EncoderGraph):
    """Each decoder layer's keys and values of the source."""

    def __init__(self, model: Transformer) -> None:
        super().__init__(transformer_pools(model))
        self.model = model

    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        """Keys and values (b, H, s, D) of each layer."""
        encoded = self.model.encode(source, is_beyond(source_length, source.shape[1]))  # (b, s, E)
        pairs = (layer.cross_attention.project_memory(encoded) for layer in _decoder_layers(self.model))
        return [tensor for pair in pairs for tensor in pair]


class TransformerStepGraph(DecoderStepGraph):
    """One step of a Transformer's decoder.

    Each hypothesis has a row of its own in the caches; the W of a sequence share one row of memory.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__(model, transformer_pools(model))
        self.model = model
        layers = _decoder_layers(model)
        self.packed = nn.ModuleList(packed_projection(layer.self_attention) for layer in layers)
        self.cross_query = nn.ModuleList(scaled_query(layer.cross_attention) for layer in layers)

    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token: caches (n·W, H, M, D), memory (n, H, C, D), no states."""
        del states
        is_masked = is_beyond(inputs.source_length, memory[0].shape[2])[:, None, None]  # (n, 1, 1, C)
        x = self.model.target_embedding(inputs.token, inputs.position[:, None])  # (n, W, E)
        column = inputs.position.int()[:, None].expand(inputs.token.shape).flatten()  # (n·W)
        written: list[Tensor] = []
        attention: list[Tensor] = []
        for i, layer in enumerate(_decoder_layers(self.model)):
            inner = layer.around_self.before(x)
            attended, keys, values = self.attend_to_itself(i, inner, caches[2 * i], caches[2 * i + 1], column)
            written += [keys, values]
            x = layer.around_self.after(x, attended)
            inner = layer.around_cross.before(x)
            attended, weights = self.attend_to_source(i, inner, memory[2 * i], memory[2 * i + 1], is_masked)
            attention.append(weights)
            x = layer.around_cross.after(x, attended)
            x = layer.around_feed_forward.after(x, layer.feed_forward(layer.around_feed_forward.before(x)))
        return StepOutputs(self.model.decoder_norm(x), attention, caches=written)

    def attend_to_itself(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Layer i's self-attention (n, W, E), and its caches with this step written."""
        attention = _decoder_layers(self.model)[i].self_attention
        packed = self.packed[i](x).flatten(0, 1)[:, None]  # (n·W, 1, 3E)
        context, keys, values = cached_attention(packed, keys, values, column, attention.num_heads)
        return attention.output(context.reshape(x.shape)), keys, values

    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, is_masked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Layer i's attention over the source (n, W, E), and its weights (n, H, W, C)."""
        attention = _decoder_layers(self.model)[i].cross_attention
        query = attention.split_heads(self.cross_query[i](x))  # (n, H, W, D)
        context, weights = scaled_dot_product_attention(query, keys, values, is_masked, is_scaled=False)
        return attention.output(attention.merge_heads(context)), weights
