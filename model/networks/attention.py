"""Multi-head scaled dot-product attention and its masks. In every mask True means "may not be looked at"."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """True where a target position would look at a later one.

    Shape: (T, T), rows are queries. Source: Vaswani et al. 2017, section 3.2.3.

    >>> causal_mask(2).tolist()
    [[False, True], [False, False]]
    """
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, is_masked: Tensor | None = None, *, is_scaled: bool = True
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √D) V.

    Args:
        query: (B, H, T, D).
        key, value: (B, H, S, D).
        is_masked: Boolean, broadcast to (B, H, T, S); a masked position gets exactly zero weight.
            Every query needs at least one position that is not masked.
        is_scaled: False leaves √D out: large heads then saturate the softmax.

    Returns:
        The context (B, H, T, D) and the weights (B, H, T, S), which sum to 1 over S.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    """
    scores = query @ key.transpose(-2, -1)  # (B, H, T, S)
    if is_scaled:
        scores = scores * (1 / math.sqrt(query.shape[-1]))
    if is_masked is not None:
        scores = scores.masked_fill(is_masked, -torch.inf)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights


class MultiHeadAttention(nn.Module):
    """Concat(head_1, ..., head_H) W_o, each head attending with its own projections.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, model_size: int, num_heads: int, *, is_scaled: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.is_scaled = is_scaled
        self.query = nn.Linear(model_size, model_size)
        self.key = nn.Linear(model_size, model_size)
        self.value = nn.Linear(model_size, model_size)
        self.output = nn.Linear(model_size, model_size)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, H, T, D)."""
        heads: Tensor = x.unflatten(-1, (self.num_heads, -1))  # (B, T, H, D)
        return heads.transpose(1, 2)  # (B, H, T, D)

    def merge_heads(self, x: Tensor) -> Tensor:
        """(B, H, T, D) back to (B, T, E)."""
        return x.transpose(1, 2).flatten(-2)  # (B, T, E)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what is attended to: (B, S, E) to twice (B, H, S, D)."""
        return self.split_heads(self.key(memory)), self.split_heads(self.value(memory))

    def attend(
        self, x: Tensor, key: Tensor, value: Tensor, is_masked: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Queries from x (B, T, E) over given keys and values (B, H, S, D).

        Returns:
            The outcome (B, T, E) and the weights (B, H, T, S).
        """
        context, weights = scaled_dot_product_attention(
            self.split_heads(self.query(x)), key, value, is_masked, is_scaled=self.is_scaled
        )
        return self.output(self.merge_heads(context)), weights

    def forward(self, x: Tensor, memory: Tensor, is_masked: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from x (B, T, E) over memory (B, S, E): the outcome and the weights."""
        return self.attend(x, *self.project_memory(memory), is_masked)
