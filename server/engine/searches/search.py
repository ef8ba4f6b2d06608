"""What the searches have in common: what they read of a step, and what they answer.

One search follows one sequence; which method it is, nobody but `server.engine.searches.methods` knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.scoring.length_penalty import length_penalty
from server.engine.sequence import Hypothesis, InferenceError, SequenceRequest, StopReason

Array = NDArray[np.generic]

HIDDEN = "hidden"
GREEDY_SCORE = "greedy_score"  # of the best next token alone, where W is 1


@dataclass(slots=True)  # as `Continuation` below
class Best:
    """The best next tokens, descending, and what they are scored with: two arrays of one shape."""

    token: NDArray[np.int64]
    score: NDArray[np.float32]


@dataclass(slots=True)
class StepOutputs:
    """What a decoder step gave for R rows of W hypotheses each.

    Args:
        greedy: Where W is 1, the best next token (R), and its log-probability with LOG_PROBS or GREEDY_SCORE,
            else its logit.
        candidates: With CANDIDATES the best next tokens by log-probability (R, W, 2W).
        log_probs: With LOG_PROBS, of every next token (R, W, V).
        extra: By name the step's outputs that a search asked for besides.
    """

    greedy: Best | None = None
    candidates: Best | None = None
    log_probs: NDArray[np.float32] | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)


@dataclass(slots=True)  # one for each sequence and step: freezing it would take three times as long
class Continuation:
    """The hypotheses that live on: each one's last token, and which of the step before it extends.

    A hypothesis that is extended keeps its place for one of those that extend it, see `keep_places`: so
    nobody's past is overwritten before it is copied.
    """

    parents: list[int]
    tokens: list[int]


def keep_places(parents: Sequence[int]) -> list[int]:
    """In which order to arrange hypotheses so that each one's past has to be copied as seldom as can be.

    Args:
        parents: Of W new hypotheses, in any order.

    Returns:
        A permutation: `order[place]` is the new hypothesis that takes a place. The first to extend p takes p,
        the others the places of those that nobody extends.

    >>> keep_places([2, 2, 0])
    [2, 1, 0]
    """
    order: dict[int, int] = {}
    others = [i for i, parent in enumerate(parents) if order.setdefault(parent, i) != i]
    free = (place for place in range(len(parents)) if place not in order)
    order |= dict(zip(free, others, strict=True))
    return [order[place] for place in range(len(parents))]


@dataclass(frozen=True)
class Ending:
    """A finished hypothesis.

    Args:
        slot: Which of the W hypotheses of step T - 1 its last token, the T-th, was predicted by.
    """

    hypothesis: Hypothesis
    slot: int


class Search(Protocol):
    """The search of one sequence; it depends on that sequence's rows of each step alone."""

    @property
    def extra_outputs(self) -> frozenset[str]:
        """What it reads besides the best next token.

        LOG_PROBS, CANDIDATES, GREEDY_SCORE, outputs of the decoder step.
        """

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Take one step.

        Args:
            step: The first step scores what follows START, the same for all W hypotheses.
            row: Where the sequence stands in it.

        Returns:
            What to feed next, W of each; None when the search is over.

        Raises:
            InferenceError: a score is no number.
        """

    def endings(self) -> tuple[Ending, ...]:
        """The hypotheses of a search that is over, best score first."""


def finish(
    request: SequenceRequest, token_ids: tuple[int, ...], log_prob: float | None, reason: StopReason
) -> Hypothesis:
    """A finished target and its score."""
    if log_prob is None:
        return Hypothesis(token_ids=token_ids, log_prob=None, score=None, stop_reason=reason)
    score = log_prob / length_penalty(len(token_ids), request.length_penalty, request.penalty_kind)
    return Hypothesis(token_ids=token_ids, log_prob=log_prob, score=score, stop_reason=reason)


def not_a_number() -> InferenceError:
    """What every search raises of a row that the model gave no numbers for."""
    return InferenceError("runtime", "a log-probability is not a number")
