"""Lets any search begin with a token that is given, as M2M-100's targets begin with their language."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.searches.beam_search import HiddenScorer, Scorer
from model.text.special_ids import SpecialIds


class FirstTokenScorer:
    """A scorer after whose start id one token is certain, with log-probability 0, and every other impossible.

    So the token counts in a target's length, and not in its log-probability, as in Transformers
    (`forced_bos_token_id`).

    Args:
        scorer: Decides on all other tokens.
        first_token: Its id.
    """

    def __init__(self, scorer: Scorer, first_token: int) -> None:
        self._scorer, self._first_token = scorer, first_token

    @property
    def special_ids(self) -> SpecialIds:
        """Those of the scorer."""
        return self._scorer.special_ids

    def encode(self, source: Tensor) -> Any:
        """Read sources (1, S)."""
        return self._scorer.encode(source)

    def decode_step(self, prefix: Tensor, memory: Any) -> Tensor:
        """Log-probabilities (K, V) after prefixes (K, t)."""
        return self._certain(self._scorer.decode_step(prefix, memory), prefix)

    def _certain(self, log_probs: Tensor, prefix: Tensor) -> Tensor:
        if prefix.shape[1] > 1:
            return log_probs
        certain = torch.full_like(log_probs, -torch.inf)
        certain[:, self._first_token] = 0.0
        return certain


class FirstTokenHiddenScorer(FirstTokenScorer):
    """`FirstTokenScorer` for contrastive search."""

    def __init__(self, scorer: HiddenScorer, first_token: int) -> None:
        super().__init__(scorer, first_token)  # type: ignore[arg-type]
        self._hidden_scorer = scorer

    def decode_step_with_hidden(self, prefix: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        """`decode_step`, and the hidden state (K, E') of each prefix' last token."""
        log_probs, hidden = self._hidden_scorer.decode_step_with_hidden(prefix, memory)
        return self._certain(log_probs, prefix), hidden


def beginning_with(scorer: Scorer, first_token: int | None) -> Scorer:
    """A scorer whose targets begin with a token; itself where they begin as they like."""
    return scorer if first_token is None else FirstTokenScorer(scorer, first_token)
