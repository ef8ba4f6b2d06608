"""The two graphs of a Transformer: pools of keys and values, hypotheses side by side in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from export.contract import SOURCE_AXIS, Pools, TensorSpec
from export.step_graph import DecoderStepGraph, EncoderGraph, StepInputs, StepOutputs, is_beyond
from export.tensor_scatter import tensor_scatter
from model.transformer import DecoderLayer, Transformer, broadcast_over_queries


def transformer_pools(model: Transformer) -> Pools:
    """Keys and values of each decoder layer, of the target so far (H, M, D) and of the source (H, C, D)."""
    heads, size = model.config.num_heads, model.config.head_size
    names = [f"{part}_{i}" for i in range(model.config.num_decoder_layers) for part in ("key", "value")]
    return Pools(
        caches=tuple(
            TensorSpec(f"self_{name}", "float32", ("rows", heads, "columns", size)) for name in names
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

    The W hypotheses of a sequence share one row: step t writes its W keys into columns t·W to
    t·W + W - 1, and `is_ancestor` says which columns each hypothesis descends from. Reordering
    hypotheses changes that mask and never the pools.
    """

    def __init__(self, model: Transformer, num_candidates_per_beam: int = 0) -> None:
        super().__init__(model, transformer_pools(model), num_candidates_per_beam)
        self.model = model

    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token: caches (n, H, M, D), memory (n, H, C, D), no states."""
        del states
        if inputs.is_ancestor is not None:
            is_masked = ~inputs.is_ancestor[:, None]  # (n, 1, W, M)
        else:
            is_masked = is_beyond(inputs.position + 1, caches[0].shape[2])[:, None, None]  # (n, 1, 1, M)
        source_is_masked = broadcast_over_queries(is_beyond(inputs.source_length, memory[0].shape[2]))
        return self.layers(inputs, is_masked, source_is_masked, caches, memory)

    def layers(
        self,
        inputs: StepInputs,
        is_masked: Tensor,
        source_is_masked: Tensor | None,
        caches: list[Tensor],
        memory: list[Tensor],
    ) -> StepOutputs:
        """All decoder layers under given masks."""
        x = self.model.target_embedding(inputs.token, inputs.position[:, None])  # (n, W, E)
        write_index = inputs.position * inputs.token.shape[1]
        written: list[Tensor] = []
        attention: list[Tensor] = []
        for i, layer in enumerate(_decoder_layers(self.model)):
            inner = layer.around_self.before(x)
            key, value = layer.self_attention.project_memory(inner)  # (n, H, W, D)
            keys = tensor_scatter(caches[2 * i], key, write_index)  # (n, H, M, D)
            values = tensor_scatter(caches[2 * i + 1], value, write_index)
            written += [keys, values]
            x = layer.around_self.after(x, layer.self_attention.attend(inner, keys, values, is_masked)[0])
            inner = layer.around_cross.before(x)
            attended, weights = layer.cross_attention.attend(
                inner, memory[2 * i], memory[2 * i + 1], source_is_masked
            )
            attention.append(weights)
            x = layer.around_cross.after(x, attended)
            x = layer.around_feed_forward.after(x, layer.feed_forward(layer.around_feed_forward.before(x)))
        return StepOutputs(self.model.decoder_norm(x), attention, caches=written)
