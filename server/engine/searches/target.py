"""The one target that greedy search, sampling and contrastive search extend token by token."""

from __future__ import annotations

from dataclasses import replace

from server.engine.searches.search import Ending, finish
from server.engine.sequence import SequenceRequest, StopReason


class Target:
    """A target prefix, its log-probability, and when it is over: at its end, or at the length limit.

    Args:
        end_id: The token that ends it.
    """

    def __init__(self, request: SequenceRequest, end_id: int) -> None:
        self._request = request
        self._end_id = end_id
        self._token_ids: list[int] = []
        self._log_prob = 0.0
        self._log_probs: list[float] = []

    def __len__(self) -> int:
        return len(self._token_ids)

    def add(self, token: int, log_prob: float) -> None:
        """Extend the target by a token."""
        self._token_ids.append(token)
        self._log_prob += log_prob
        self._log_probs.append(log_prob)

    @property
    def is_over(self) -> bool:
        """Whether nothing may follow the last token; there must be one."""
        return self._token_ids[-1] == self._end_id or len(self) == self._request.max_target_tokens

    def endings(self, slot: int = 0, *, with_scores: bool = True) -> tuple[Ending, ...]:
        """The target alone, as the one finished hypothesis.

        Args:
            slot: The hypothesis that predicted the last token, see `Ending`.
            with_scores: False if what was added were no log-probabilities.
        """
        reason = StopReason.END if self._token_ids[-1] == self._end_id else StopReason.LENGTH
        log_prob = self._log_prob if with_scores else None
        hypothesis = finish(self._request, tuple(self._token_ids), log_prob, reason)
        if with_scores:
            hypothesis = replace(hypothesis, token_log_probs=tuple(self._log_probs))
        return (Ending(hypothesis, slot),)
