"""Lets any search heed constraints: it is shown a step's log-probabilities as they leave them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from server.engine.constraints import Constraints
from server.engine.searches.search import (
    GREEDY_SCORE,
    Best,
    Continuation,
    Ending,
    Search,
    StepOutputs,
    not_a_number,
)

# What follows from the log-probabilities of all tokens, and is made of the constrained ones instead.
_DERIVED = frozenset((GREEDY_SCORE, GraphName.CANDIDATES))


class WithConstraints:
    """A search over constrained log-probabilities; model/searches/constraints.py tells the same the slow way.

    A search itself need not know of constraints, and nobody pays who has none.

    Args:
        search: Decides among what may be.
        width: W, its hypotheses.
        end_id: The token that ends a target.
    """

    def __init__(self, search: Search, constraints: Constraints, width: int, end_id: int) -> None:
        self._search, self._constraints = search, constraints
        self._width, self._end_id = width, end_id
        self._num_best = 2 * width if GraphName.CANDIDATES in search.extra_outputs else 1
        self._prefixes: list[tuple[int, ...]] = [()] * width
        self.extra_outputs = (search.extra_outputs - _DERIVED) | {GraphName.LOG_PROBS}

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Let the search take the step as the constraints leave it, see `Search.advance`."""
        assert step.log_probs is not None, "asked for"
        log_probs = self._constrained(step.log_probs[row])  # (W, V)
        best = _best(log_probs, self._num_best)  # (W, 2W), or (1, 1)
        seen = StepOutputs(
            greedy=Best(best.token[:, 0], best.score[:, 0]) if self._width == 1 else None,
            candidates=Best(best.token[None], best.score[None]),
            log_probs=log_probs[None],
            extra={name: array[row : row + 1] for name, array in step.extra.items()},
        )
        continuation = self._search.advance(seen, 0)
        if continuation is not None:
            following = zip(continuation.parents, continuation.tokens, strict=True)
            self._prefixes = [(*self._prefixes[parent], token) for parent, token in following]
        return continuation

    def _constrained(self, log_probs: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isnan(log_probs.sum()):  # of minus infinities the sum is one
            raise not_a_number()
        rows = zip(log_probs, self._prefixes, strict=True)
        return np.stack([self._constraints.applied(row, prefix, self._end_id) for row, prefix in rows])

    def endings(self) -> tuple[Ending, ...]:
        """Those of the search."""
        return self._search.endings()


def _best(log_probs: NDArray[np.float32], count: int) -> Best:
    """The `count` best tokens of each hypothesis (W, V), of equal ones the lower id first."""
    top = np.argpartition(log_probs, -count, axis=-1)[:, -count:]
    top.sort(axis=-1)
    scores = np.take_along_axis(log_probs, top, axis=-1)
    order = np.argsort(-scores, axis=-1, kind="stable")
    return Best(np.take_along_axis(top, order, axis=-1), np.take_along_axis(scores, order, axis=-1))
