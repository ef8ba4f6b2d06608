"""Attention of a recurrent decoder over the encoded source: how it scores, and what it takes from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks.config import RecurrentConfig

_FIRST_SHARPNESS = 5.0


class SourceAttention(nn.Module):
    """Scores each source position for a query, and mixes the positions by the softmax of the scores.

    | name | score of query q and source position m | source |
    |---|---|---|
    | dot | q·m | Luong et al. 2015, section 3.1 |
    | scaled_dot | q·m / √E | Vaswani et al. 2017, equation 1 |
    | cosine | β cos(q, m), β learned | Graves et al. 2014, arXiv:1410.5401, equations 5 and 6 |
    | general | qᵀ W m | Luong et al. 2015, section 3.1 |
    | additive | vᵀ tanh(W q + U m) | Bahdanau et al. 2014, appendix A.1.2 |

    Hard attention takes the one position of the highest score, where Xu et al. 2015 (arXiv:1502.03044,
    section 4.1) draw one. Its gradient is that of the softmax, "straight through" (Bengio et
    al. 2013, arXiv:1308.3432).
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        size = config.model_size
        self.score, self.is_hard = config.attention, config.hard_attention
        self.scale = 1 / math.sqrt(size)
        if self.score == "general":
            self.query = nn.Linear(size, size, bias=False)
        elif self.score == "additive":
            self.query = nn.Linear(size, size)
            self.key = nn.Linear(size, size, bias=False)
            self.sum = nn.Linear(size, 1, bias=False)
        elif self.score == "cosine":
            self.sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS))

    @property
    def has_keys(self) -> bool:
        """Whether positions are prepared for scoring once, apart from what is taken from them."""
        return self.score in {"additive", "cosine"}

    def keys(self, memory: Tensor) -> Tensor:
        """What queries are compared with: of source positions (B, S, E), as many vectors."""
        if self.score == "additive":
            return self.key(memory)  # type: ignore[no-any-return]
        return functional.normalize(memory, dim=-1) if self.score == "cosine" else memory

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, T, E) and keys (B, S, E): (B, T, S), before the softmax."""
        if self.score == "additive":
            summed = self.query(query)[:, :, None] + keys[:, None]  # (B, T, S, E)
            return self.sum(torch.tanh(summed)).squeeze(-1)  # type: ignore[no-any-return]
        if self.score == "general":
            query = self.query(query)
        elif self.score == "cosine":
            query = functional.normalize(query, dim=-1) * self.sharpness
        elif self.score == "scaled_dot":
            query = query * self.scale
        return query @ keys.transpose(1, 2)  # (B, T, S)

    def forward(
        self, query: Tensor, keys: Tensor, memory: Tensor, is_padding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            query: (B, T, E).
            keys, memory: (B, S, E), see `keys`.
            is_padding: (B, S), True where the weight must be exactly zero; at least one is False.

        Returns:
            What was attended to (B, T, E), and the weights (B, T, S), which sum to 1 over S.
        """
        scores = self.scores(query, keys)
        if is_padding is not None:
            scores = scores.masked_fill(is_padding[:, None], -torch.inf)
        weights = scores.softmax(dim=-1)
        if self.is_hard:
            weights = self._hard(scores, weights)
        return weights @ memory, weights

    def _hard(self, scores: Tensor, soft: Tensor) -> Tensor:
        positions = torch.arange(scores.shape[-1], device=scores.device)
        hard = (positions == scores.argmax(dim=-1, keepdim=True)).to(soft.dtype)  # (B, T, S)
        return hard + soft - soft.detach() if self.training else hard
