"""Beam search of one sequence, fed with each step's best continuations; and greedy search."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from server.engine.searches.search import (
    GREEDY_SCORE,
    Continuation,
    Ending,
    StepOutputs,
    finish,
    keep_places,
    not_a_number,
)
from server.engine.searches.target import Target
from server.engine.sequence import SequenceRequest, StopReason


class GreedySearch:
    """Always the best next token."""

    def __init__(self, request: SequenceRequest, end_id: int) -> None:
        self._with_scores = request.with_scores
        self._target = Target(request, end_id)
        self.extra_outputs = frozenset((GREEDY_SCORE,) if request.with_scores else ())

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Take the best next token, see `Search.advance`."""
        assert step.greedy is not None, "a beam of one"
        token, score = int(step.greedy.token[row]), float(step.greedy.score[row])
        if math.isnan(score):
            raise not_a_number()
        self._target.add(token, score)
        return None if self._target.is_over else Continuation([0], [token])

    def endings(self) -> tuple[Ending, ...]:
        """The one hypothesis, of a search that is over."""
        return self._target.endings(with_scores=self._with_scores)


class BeamSearch:
    """Keeps the W best prefixes; model/searches/beam_search.py tells the same rules the slow way.

    Each step ranks the 2W best continuations. One that ends is finished if it is among the first W;
    the first W that do not end live on. W finished hypotheses, or the length limit, end the search.
    What has no probability at all is no continuation.
    """

    extra_outputs = frozenset((GraphName.CANDIDATES,))

    def __init__(self, request: SequenceRequest, end_id: int) -> None:
        self._request = request
        self._end_id = end_id
        self._width = request.method.width
        self._live: list[tuple[int, ...]] = [()] * self._width
        # All prefixes are alike at first: only one may be extended.
        self._log_probs = [0.0] + [-math.inf] * (self._width - 1)
        self._finished: list[Ending] = []

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Extend the beam by the best candidates, see `Search.advance`."""
        assert step.candidates is not None, "asked for"
        tokens = step.candidates.token[row].ravel().tolist()  # (W · 2W)
        totals = self._totals(step.candidates.score[row])
        alive: list[tuple[int, int, float]] = []
        for rank, place in enumerate(self._best(totals)):
            parent, token, total = place // (2 * self._width), tokens[place], totals[place]
            if token == self._end_id:
                if rank < self._width and total > -math.inf:
                    self._finish((*self._live[parent], token), total, StopReason.END, parent)
            elif len(alive) < self._width:
                alive.append((parent, token, total))
        is_over = len(self._finished) >= self._width or alive[0][2] == -math.inf
        alive = [alive[i] for i in keep_places([parent for parent, _, _ in alive])]
        self._live = [(*self._live[parent], token) for parent, token, _ in alive]
        if is_over:
            return None
        if len(self._live[0]) >= self._request.max_target_tokens:
            for prefix, (parent, _, total) in zip(self._live, alive, strict=True):
                self._finish(prefix, total, StopReason.LENGTH, parent)
            return None
        self._log_probs = [total for _, _, total in alive]
        return Continuation([parent for parent, _, _ in alive], [token for _, token, _ in alive])

    def _totals(self, log_probs: NDArray[np.float32]) -> list[float]:
        """The log-probabilities of all 2W² continuations; so few that lists are faster than arrays."""
        totals = [
            before + log_prob
            for before, row in zip(self._log_probs, log_probs.tolist(), strict=True)
            for log_prob in row
        ]
        if math.isnan(sum(totals)):  # none is above 0, so no infinities of both signs are in it
            raise not_a_number()
        return totals

    def _best(self, totals: list[float]) -> list[int]:
        """The places of the 2W best, in their order."""
        return sorted(range(len(totals)), key=totals.__getitem__, reverse=True)[: 2 * self._width]

    def _finish(self, token_ids: tuple[int, ...], log_prob: float, reason: StopReason, slot: int) -> None:
        self._finished.append(Ending(finish(self._request, token_ids, log_prob, reason), slot))

    def endings(self) -> tuple[Ending, ...]:
        """The finished hypotheses, best score first; of equal ones the earlier finished first."""
        finished = [ending for ending in self._finished if ending.hypothesis.log_prob != -math.inf]
        ranked = sorted(finished, key=lambda ending: -(ending.hypothesis.score or 0.0))
        return tuple(ranked[: self._width])
