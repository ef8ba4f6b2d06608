"""Lets any search heed constraints on its targets, slow and obvious: the oracle for the server's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.searches.beam_search import HiddenScorer
from model.text.special_ids import SpecialIds

Tokens = tuple[int, ...]


def _nothing(_prefix: Tokens) -> Collection[int]:
    return ()


@dataclass(frozen=True, kw_only=True)
class TargetRules:
    """What a target may not be.

    Args:
        prefix: It begins with these tokens, for which the other rules do not hold.
        min_target_tokens: It has no fewer, end id included.
        no_repeat_ngram_size: No run of so many tokens is twice in it; 0 for no such rule.
        repetition_penalty: Factor of the log-probabilities of tokens that are in it already.
        forbidden: Tokens that may not follow a prefix.
    """

    prefix: Tokens = ()
    min_target_tokens: int = 1
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    forbidden: Callable[[Tokens], Collection[int]] = _nothing


class ConstrainedScorer:
    """A scorer whose targets keep the rules: what breaks one has log-probability minus infinity.

    All else has what the scorer gave it, times the penalty; if nothing is left, the end id has.

    Args:
        scorer: Decides on all else.
    """

    def __init__(self, scorer: HiddenScorer, rules: TargetRules) -> None:
        self._scorer, self._rules = scorer, rules

    @property
    def special_ids(self) -> SpecialIds:
        """Those of the scorer."""
        return self._scorer.special_ids

    def encode(self, source: Tensor) -> Any:
        """Read sources (1, S)."""
        return self._scorer.encode(source)

    def decode_step(self, prefix: Tensor, memory: Any) -> Tensor:
        """Log-probabilities (K, V) after prefixes (K, t)."""
        return self.decode_step_with_hidden(prefix, memory)[0]

    def decode_step_with_hidden(self, prefix: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        """`decode_step`, and the hidden state (K, E') of each prefix' last token."""
        log_probs, hidden = self._scorer.decode_step_with_hidden(prefix, memory)
        targets = [tuple(row[1:]) for row in prefix.tolist()]
        kept = [self._kept(row, target) for row, target in zip(log_probs, targets, strict=True)]
        return torch.stack(kept), hidden

    def _kept(self, log_probs: Tensor, target: Tokens) -> Tensor:
        rules, end = self._rules, self.special_ids.end
        if len(target) < len(rules.prefix):
            return _alone(log_probs, rules.prefix[len(target)])
        kept = log_probs.clone()
        for token in set(target):
            kept[token] *= rules.repetition_penalty
            if _has_twice((*target, token), rules.no_repeat_ngram_size):
                kept[token] = -torch.inf
        for token in rules.forbidden(target):
            kept[token] = -torch.inf
        if len((*target, end)) < rules.min_target_tokens:
            kept[end] = -torch.inf
        return kept if (kept > -torch.inf).any() else _alone(log_probs, end)


def _alone(log_probs: Tensor, token: int) -> Tensor:
    kept = torch.full_like(log_probs, -torch.inf)
    kept[token] = log_probs[token]
    return kept


def _has_twice(target: Tokens, size: int) -> bool:
    """Whether the last `size` tokens occur earlier in it."""
    runs = [target[i : i + size] for i in range(len(target) - size + 1)]
    return size > 0 and runs[-1:] != [] and runs[-1] in runs[:-1]
