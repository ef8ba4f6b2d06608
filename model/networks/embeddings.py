"""Token embeddings, scaled by √E or not, and the two kinds of positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """sin(p·f_i) and cos(p·f_i) with f_i = 10000^(-i/N), i from 0 to E/2 - 1.

    Computed when asked for, so there is no longest position and no weight.

    Args:
        model_size: E.
        layout: "interleaved" has each sine before its cosine, "halves" all sines before all cosines.
        denominator: N, E/2 or "half_less_one", with which the last wavelength is 10000 · 2π.
        first_position: What the first token's position counts as; 0 but in fairseq's models, which begin
            behind their padding id.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, interleaved and E/2; their own code,
        Tensor2Tensor's, and after it Marian's have halves and E/2 - 1.

    >>> SinusoidalPositions(4, layout="halves", denominator="half_less_one")(torch.tensor(0)).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """

    def __init__(
        self,
        model_size: int,
        *,
        layout: str = "interleaved",
        denominator: str = "half",
        first_position: int = 0,
    ) -> None:
        super().__init__()
        self.first_position = first_position
        self.is_interleaved = layout == "interleaved"
        last = model_size // 2 - (denominator == "half_less_one")
        exponent = torch.arange(model_size // 2, dtype=torch.float64) / last
        # No buffer: `half()` would round it, and positions with it.
        self._inverse_wavelength = (10000.0**-exponent).float()

    def forward(self, position: Tensor) -> Tensor:
        """Integer positions (...) to fp32 vectors (..., E)."""
        if self.first_position:
            position = position + self.first_position
        angle = position.unsqueeze(-1).float() * self._inverse_wavelength.to(position.device)  # (..., E/2)
        if not self.is_interleaved:
            return torch.cat((angle.sin(), angle.cos()), dim=-1)  # (..., E)
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)  # (..., E)


class LearnedPositions(nn.Embedding):
    """A trained vector for each position below max_positions (Gehring et al. 2017, arXiv:1705.03122)."""

    def __init__(self, max_positions: int, model_size: int) -> None:
        super().__init__(max_positions, model_size)
        nn.init.normal_(self.weight, std=model_size**-0.5)


class Embedding(nn.Module):
    """√E · token embedding + position, if any (Vaswani et al. 2017, sections 3.4 and 3.5).

    Args:
        is_scaled: False leaves √E out.
        has_zero_start: The token at position 0 counts for nothing: its embedding is zero.
    """

    def __init__(
        self,
        tokens: nn.Embedding,
        positions: nn.Module | None,
        dropout: float,
        *,
        is_scaled: bool = True,
        has_zero_start: bool = False,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.positions = positions
        self.dropout = nn.Dropout(dropout)
        self.scale = math.sqrt(tokens.embedding_dim) if is_scaled else 1.0
        self.has_zero_start = has_zero_start

    def forward(self, token_ids: Tensor, position: Tensor | None = None) -> Tensor:
        """Ids (B, T) at integer positions, broadcast to (B, T), to vectors (B, T, E)."""
        embedded = self.tokens(token_ids) * self.scale  # (B, T, E)
        if self.has_zero_start:
            assert position is not None
            embedded = embedded * (position > 0).unsqueeze(-1).to(embedded.dtype)
        if self.positions is not None:
            embedded = embedded + self.positions(position).to(embedded.dtype)
        return self.dropout(embedded)  # type: ignore[no-any-return]
