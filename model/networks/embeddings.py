"""Token embeddings scaled by √E, and the two kinds of positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """PE(p, 2i) = sin(p / 10000^(2i/E)), PE(p, 2i+1) = cos(p / 10000^(2i/E)).

    Computed when asked for, so there is no longest position and no weight.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    def __init__(self, model_size: int) -> None:
        super().__init__()
        exponent = torch.arange(0, model_size, 2, dtype=torch.float64) / model_size
        # No buffer: `half()` would round it, and positions with it.
        self._inverse_wavelength = (10000.0**-exponent).float()

    def forward(self, position: Tensor) -> Tensor:
        """Integer positions (...) to fp32 vectors (..., E)."""
        angle = position.unsqueeze(-1).float() * self._inverse_wavelength.to(position.device)  # (..., E/2)
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)  # (..., E)


class LearnedPositions(nn.Embedding):
    """A trained vector for each position below max_positions (Gehring et al. 2017, arXiv:1705.03122)."""

    def __init__(self, max_positions: int, model_size: int) -> None:
        super().__init__(max_positions, model_size)
        nn.init.normal_(self.weight, std=model_size**-0.5)


class Embedding(nn.Module):
    """√E · token embedding + position, if any (Vaswani et al. 2017, sections 3.4 and 3.5)."""

    def __init__(self, tokens: nn.Embedding, positions: nn.Module | None, dropout: float) -> None:
        super().__init__()
        self.tokens = tokens
        self.positions = positions
        self.dropout = nn.Dropout(dropout)
        self.scale = math.sqrt(tokens.embedding_dim)

    def forward(self, token_ids: Tensor, position: Tensor | None = None) -> Tensor:
        """Ids (B, T) at integer positions, broadcast to (B, T), to vectors (B, T, E)."""
        embedded = self.tokens(token_ids) * self.scale  # (B, T, E)
        if self.positions is not None:
            embedded = embedded + self.positions(position).to(embedded.dtype)
        return self.dropout(embedded)  # type: ignore[no-any-return]
