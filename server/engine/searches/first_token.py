"""Lets any search begin with a token that is given, as those of NLLB begin with a language."""

from __future__ import annotations

import numpy as np

from server.engine.searches.search import Best, Continuation, Ending, Search, StepOutputs
from server.engine.sequence import SequenceRequest


class WithFirstToken:
    """A search that is told, in place of its first step's scores, that one token is certain.

    It counts in the target's length, and with log-probability 0 in its score, as in Transformers
    (`forced_bos_token_id`). A search itself need not know of it, and nobody pays who does not ask for it.

    Args:
        search: Decides on all tokens but the first.
        request: Names that one.
    """

    def __init__(self, search: Search, request: SequenceRequest) -> None:
        assert request.first_token is not None, "asked for"
        self._search, self._first_token = search, request.first_token
        self._width = request.method.width
        self._has_begun = False
        self.extra_outputs = search.extra_outputs

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Take the given token first, and then what the search takes, see `Search.advance`."""
        if self._has_begun:
            return self._search.advance(step, row)
        self._has_begun = True
        return self._search.advance(self._certain(step, row), 0)

    def _certain(self, step: StepOutputs, row: int) -> StepOutputs:
        """The step's outputs for the one row, with all probability on the token."""
        shape = (1, self._width, 2 * self._width)
        scores = np.full(shape, -np.inf, np.float32)
        scores[0, :, 0] = 0.0
        log_probs = None
        if step.log_probs is not None:
            log_probs = np.full((1, *step.log_probs.shape[1:]), -np.inf, np.float32)
            log_probs[..., self._first_token] = 0.0
        return StepOutputs(
            greedy=Best(np.array([self._first_token]), np.zeros(1, np.float32)),
            candidates=Best(np.full(shape, self._first_token), scores),
            log_probs=log_probs,
            extra={name: array[row : row + 1] for name, array in step.extra.items()},
        )

    def endings(self) -> tuple[Ending, ...]:
        """Those of the search."""
        return self._search.endings()
