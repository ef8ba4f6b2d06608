"""Beam search of one sequence, fed with each step's best continuations; a beam of one is greedy search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.engine.search import Continuation, Ending, StepOutputs, finish, not_a_number
from server.engine.sequence import SequenceRequest, StopReason


class BeamSearch:
    """Keeps the W best prefixes; model/search.py tells the same rules the slow way.

    Each step ranks the 2W best continuations. One that ends is finished if it is among the first W;
    the first W that do not end live on. W finished hypotheses, or the length limit, end the search.
    """

    extra_outputs: frozenset[str] = frozenset()

    def __init__(self, request: SequenceRequest, end_id: int) -> None:
        self._request = request
        self._end_id = end_id
        self._width = request.method.width
        self._live: list[tuple[int, ...]] = [()] * self._width
        self._log_probs = np.full(self._width, -np.inf)
        self._log_probs[0] = 0.0  # all prefixes are alike at first: only one may be extended
        self._finished: list[Ending] = []

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """See `Search.advance`."""
        tokens = step.best_token[row]  # (W, C)
        ranked = self._rank(step.best_log_probs[row])
        parents: list[int] = []
        next_tokens: list[int] = []
        totals: list[float] = []
        for rank, (parent, column, total) in enumerate(ranked):
            token = int(tokens[parent, column])
            if token == self._end_id:
                if rank < self._width:
                    self._finish((*self._live[parent], token), total, StopReason.END, parent)
            elif len(parents) < self._width:
                parents.append(parent)
                next_tokens.append(token)
                totals.append(total)
        self._live = [(*self._live[p], t) for p, t in zip(parents, next_tokens, strict=True)]
        if len(self._finished) >= self._width:
            return None
        if len(self._live[0]) >= self._request.max_target_tokens:
            for prefix, total, parent in zip(self._live, totals, parents, strict=True):
                self._finish(prefix, total, StopReason.LENGTH, parent)
            return None
        self._log_probs = np.array(totals)
        return Continuation(parents, next_tokens)

    def _rank(self, log_probs: NDArray[np.float32]) -> list[tuple[int, int, float]]:
        totals = (self._log_probs[:, None] + log_probs).ravel()
        if np.isnan(totals).any():
            raise not_a_number()
        best = np.argsort(-totals, kind="stable")[: 2 * self._width]
        columns = log_probs.shape[1]
        return [(int(i) // columns, int(i) % columns, float(totals[i])) for i in best]

    def _finish(self, token_ids: tuple[int, ...], log_prob: float, reason: StopReason, slot: int) -> None:
        self._finished.append(Ending(finish(self._request, token_ids, log_prob, reason), slot))

    def endings(self) -> tuple[Ending, ...]:
        """The finished ones, best score first; of equal ones the earlier finished first."""
        ranked = sorted(self._finished, key=lambda ending: -ending.hypothesis.score)
        return tuple(ranked[: self._width])
