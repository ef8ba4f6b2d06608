"""The two graphs of a Transformer as PyTorch modules over a pool of slots: they share the model's weights.

A pool holds one row for each slot. `EncoderGraph` writes what the decoder attends to into the rows of
new sequences; `DecoderStepGraph` advances rows [0, n) by one target token, each at its own position.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from export.tensor_scatter import tensor_scatter
from model.transformer import DecoderLayer, Transformer, broadcast_over_queries


def is_beyond(length: Tensor, size: int) -> Tensor:
    """(n, size), True at and after each row's length (n)."""
    return torch.arange(size, device=length.device) >= length[:, None]


def _decoder_layers(model: Transformer) -> list[DecoderLayer]:
    return [cast("DecoderLayer", layer) for layer in model.decoder_layers]


class EncoderGraph(nn.Module):
    """Encode new sources and write each decoder layer's keys and values of them into their slots."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, source: Tensor, source_length: Tensor, slot: Tensor, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        """Write the sources' keys and values into the pools of cross-attention.

        Args:
            source: Padded ids (b, s).
            source_length: (b), tokens of each source.
            slot: (b), the row that each source takes.
            memory: For each decoder layer the pools of cross-attention keys and values
                (slots, H, C, D), C >= s.

        Returns:
            The pools with rows `slot` replaced; their positions from s on are zero.
        """
        encoded = self.model.encode(source, is_beyond(source_length, source.shape[1]))  # (b, s, E)
        pairs = (layer.cross_attention.project_memory(encoded) for layer in _decoder_layers(self.model))
        updates = [tensor for pair in pairs for tensor in pair]  # each (b, H, s, D)
        return tuple(
            pool.index_put((slot,), nn.functional.pad(update, (0, 0, 0, pool.shape[2] - update.shape[2])))
            for pool, update in zip(memory, updates, strict=True)
        )


class DecoderStepGraph(nn.Module):
    """One decoder step for n sequences of W hypotheses each.

    The W hypotheses of a sequence share one row: step t writes its W keys into columns t·W to
    t·W + W - 1, and `is_ancestor` says which columns each hypothesis descends from. Reordering
    hypotheses changes that mask and never the pools.

    Args:
        model: Shares its weights.
        num_candidates_per_beam: For beam search, this times W of the best next tokens are
            returned for each hypothesis; 0 for greedy search, where W is 1 and no mask is needed.
    """

    def __init__(self, model: Transformer, num_candidates_per_beam: int = 0) -> None:
        super().__init__()
        self.model = model
        self.num_candidates_per_beam = num_candidates_per_beam

    def forward(
        self, token: Tensor, position: Tensor, source_length: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Score the token after each hypothesis.

        Args:
            token: (n, W), each hypothesis' last token.
            position: (n), each row's t, from 0.
            source_length: (n), at least 1.
            rest: For beam search first `is_ancestor` (n, W, M), each hypothesis' own column
                included; then for each layer the pools of self-attention keys and values
                (n, H, M, D), then likewise of cross-attention (n, H, C, D).

        Returns:
            log_probs (n, W, V) fp32; for beam search the best of them and their ids
            (n, W, 2W); then the self-attention pools with this step's columns written.
        """
        if self.num_candidates_per_beam:
            is_ancestor, *pools = rest
            is_masked = ~is_ancestor[:, None]  # (n, 1, W, M)
        else:
            pools = list(rest)
            is_masked = is_beyond(position + 1, pools[0].shape[2])[:, None, None]  # (n, 1, 1, M)
        caches, memory = pools[: len(pools) // 2], pools[len(pools) // 2 :]
        source_is_masked = broadcast_over_queries(is_beyond(source_length, memory[0].shape[2]))
        hidden, written = self._layers(token, position, is_masked, source_is_masked, caches, memory)
        logits = self.model.output(self.model.decoder_norm(hidden))  # (n, W, V)
        log_probs = logits.float().log_softmax(dim=-1)
        if not self.num_candidates_per_beam:
            return (log_probs, *written)
        best, best_ids = log_probs.topk(self.num_candidates_per_beam * token.shape[1])
        return (log_probs, best, best_ids, *written)

    def _layers(
        self,
        token: Tensor,
        position: Tensor,
        is_masked: Tensor,
        source_is_masked: Tensor | None,
        caches: list[Tensor],
        memory: list[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        x = self.model.target_embedding(token, position[:, None])  # (n, W, E)
        written: list[Tensor] = []
        for i, layer in enumerate(_decoder_layers(self.model)):
            inner = layer.around_self.before(x)
            key, value = layer.self_attention.project_memory(inner)  # (n, H, W, D)
            write_index = position * token.shape[1]
            keys = tensor_scatter(caches[2 * i], key, write_index)  # (n, H, M, D)
            values = tensor_scatter(caches[2 * i + 1], value, write_index)
            written += [keys, values]
            x = layer.around_self.after(x, layer.self_attention.attend(inner, keys, values, is_masked))
            inner = layer.around_cross.before(x)
            x = layer.around_cross.after(
                x, layer.cross_attention.attend(inner, memory[2 * i], memory[2 * i + 1], source_is_masked)
            )
            x = layer.around_feed_forward.after(x, layer.feed_forward(layer.around_feed_forward.before(x)))
        return x, written
