"""Beam search of one sequence, fed with each step's best continuations; a beam of one is greedy search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.length_penalty import length_penalty
from server.engine.sequence import Hypothesis, InferenceError, SequenceRequest, StopReason


@dataclass(frozen=True)
class Continuation:
    """The hypotheses that live on: each one's last token, and which of the step before it extends."""

    parents: list[int]
    tokens: list[int]


class BeamSearch:
    """Keeps the W best prefixes; model/search.py tells the same rules the slow way.

    Each step ranks the 2W best continuations. One that ends is finished if it is among the first W;
    the first W that do not end live on. W finished hypotheses, or the length limit, end the search.
    """

    def __init__(self, request: SequenceRequest, end_id: int) -> None:
        self._request = request
        self._end_id = end_id
        self._width = request.beam_size
        self._live: list[tuple[int, ...]] = [()] * self._width
        self._log_probs = np.full(self._width, -np.inf)
        self._log_probs[0] = 0.0  # all prefixes are alike at first: only one may be extended
        self._finished: list[Hypothesis] = []

    def advance(self, log_probs: NDArray[np.float32], tokens: NDArray[np.int64]) -> Continuation | None:
        """Take one step.

        Args:
            log_probs: The best next tokens of each live prefix, descending (W, C); C is 2W, or at
                least 1 for greedy search.
            tokens: Their ids (W, C).

        Returns:
            What to feed next, or None when the search is over.

        Raises:
            InferenceError: a log-probability is no number.
        """
        ranked = self._rank(log_probs)
        parents: list[int] = []
        next_tokens: list[int] = []
        totals: list[float] = []
        for rank, (parent, column, total) in enumerate(ranked):
            token = int(tokens[parent, column])
            if token == self._end_id:
                if rank < self._width:
                    self._finish((*self._live[parent], token), total, StopReason.END)
            elif len(parents) < self._width:
                parents.append(parent)
                next_tokens.append(token)
                totals.append(total)
        self._live = [(*self._live[p], t) for p, t in zip(parents, next_tokens, strict=True)]
        if len(self._finished) >= self._width:
            return None
        if len(self._live[0]) >= self._request.max_target_tokens:
            for prefix, total in zip(self._live, totals, strict=True):
                self._finish(prefix, total, StopReason.LENGTH)
            return None
        self._log_probs = np.array(totals)
        return Continuation(parents, next_tokens)

    def _rank(self, log_probs: NDArray[np.float32]) -> list[tuple[int, int, float]]:
        totals = (self._log_probs[:, None] + log_probs).ravel()
        if np.isnan(totals).any():
            raise InferenceError("runtime", "a log-probability is not a number")
        best = np.argsort(-totals, kind="stable")[: 2 * self._width]
        columns = log_probs.shape[1]
        return [(int(i) // columns, int(i) % columns, float(totals[i])) for i in best]

    def _finish(self, token_ids: tuple[int, ...], log_prob: float, reason: StopReason) -> None:
        score = log_prob / length_penalty(len(token_ids), self._request.length_penalty)
        self._finished.append(
            Hypothesis(token_ids=token_ids, log_prob=log_prob, score=score, stop_reason=reason)
        )

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The finished ones, best score first; of equal ones the earlier finished first."""
        ranked = sorted(self._finished, key=lambda hypothesis: -hypothesis.score)
        return tuple(ranked[: self._width])
