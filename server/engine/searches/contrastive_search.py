"""Contrastive search of one sequence: probable tokens, less what resembles the text so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from server.engine.searches.search import (
    HIDDEN,
    Continuation,
    Ending,
    StepOutputs,
    keep_places,
    not_a_number,
)
from server.engine.searches.target import Target
from server.engine.sequence import Contrastive, InferenceError, SequenceRequest

# Two vectors' lengths are at least this in their cosine: that of a zero vector is 0.
MIN_NORM = 1e-8


class ContrastiveSearch:
    """Runs the k candidates for a token as k hypotheses and goes on from the one it chooses.

    Each candidate v for the token after x_<t has the score

        (1 - penalty_alpha) · p(v | x_<t) - penalty_alpha · max_j cos(h_v, h_j)

    with the decoder's last hidden states h, j over the prefix, START among it. The best one is chosen;
    of equal ones the more probable. model/searches/contrastive_search.py tells the same rules the slow way.
    The first step feeds START alone, so the T-th token's candidates are run at position T.

    Source: Su et al. 2022, arXiv:2202.06417, equation 5.
    """

    extra_outputs = frozenset((HIDDEN, GraphName.CANDIDATES))

    def __init__(self, request: SequenceRequest, method: Contrastive, end_id: int) -> None:
        self._request = request
        self._method = method
        self._target = Target(request, end_id)
        self._slot = 0  # of the prefix' last token, in the step that ran it
        self._before = 0  # the slot of the token before it, which predicted it
        self._prefix: NDArray[np.float64] | None = None  # (1 + max_target_tokens, E), unit vectors
        self._candidates = np.empty(0, np.int64)
        self._log_probs = np.empty(0, np.float32)

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Choose among the candidates that the step ran and propose the next, see `Search.advance`."""
        directions = _directions(step.extra[HIDDEN][row])  # (W, E)
        if self._prefix is None:
            self._prefix = np.empty((1 + self._request.max_target_tokens, directions.shape[1]))
        else:
            self._choose(self._scores(directions, self._prefix[: 1 + len(self._target)]))
            if self._target.is_over:
                return None
        self._prefix[len(self._target)] = directions[self._slot]
        assert step.candidates is not None, "asked for"
        return self._propose(step.candidates.score[row, self._slot], step.candidates.token[row, self._slot])

    def _scores(self, directions: NDArray[np.float64], prefix: NDArray[np.float64]) -> NDArray[np.float64]:
        similarity = (directions @ prefix.T).max(axis=1)  # (W)
        alpha = self._method.penalty_alpha
        scores: NDArray[np.float64] = (1 - alpha) * np.exp(
            self._log_probs, dtype=np.float64
        ) - alpha * similarity
        return scores

    def _choose(self, scores: NDArray[np.float64]) -> None:
        best = np.flatnonzero(scores == scores.max())
        self._before, self._slot = self._slot, int(best[self._log_probs[best].argmax()])
        self._target.add(int(self._candidates[self._slot]), float(self._log_probs[self._slot]))

    def _propose(self, log_probs: NDArray[np.float32], tokens: NDArray[np.int64]) -> Continuation:
        """Feed the best next tokens (C) of the chosen hypothesis; for one that cannot be, the best again."""
        impossible = np.isneginf(log_probs)
        log_probs = np.where(impossible, log_probs[0], log_probs)
        tokens = np.where(impossible, tokens[0], tokens)
        k = self._method.top_k
        parents = [self._slot] * k
        order = keep_places(parents)
        self._log_probs, self._candidates = log_probs[order], tokens[order]  # copies: the step's are reused
        if not np.isfinite(self._log_probs).all():
            raise not_a_number()
        return Continuation(parents, self._candidates.tolist())

    def endings(self) -> tuple[Ending, ...]:
        """The one hypothesis, of a search that is over."""
        return self._target.endings(self._before)


def _directions(hidden: NDArray[np.generic]) -> NDArray[np.float64]:
    """Hidden states (W, E) as vectors of length 1: their products are cosines."""
    vectors = hidden.astype(np.float64)
    norms = np.sqrt(np.einsum("we,we->w", vectors, vectors))[:, None]  # (W, 1)
    if not np.isfinite(norms).all():
        raise InferenceError("runtime", "a hidden state is not a number")
    directions: NDArray[np.float64] = vectors / np.maximum(norms, MIN_NORM)
    return directions
