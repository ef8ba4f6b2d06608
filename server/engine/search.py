"""What the searches have in common: what they read of a step, and what they answer.

One search follows one sequence; which method it is, nobody but `server.engine.methods` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.length_penalty import length_penalty
from server.engine.sequence import Hypothesis, InferenceError, SequenceRequest, StopReason

Array = NDArray[np.generic]

HIDDEN = "hidden"


@dataclass(frozen=True)
class StepOutputs:
    """What a decoder step gave for R rows of W hypotheses each.

    Args:
        best_log_probs, best_token: The best next tokens and their log-probabilities (R, W, C), descending;
            C is 2W, or 1 where W is.
        log_probs: Of every next token (R, 1, V) where W is 1; None otherwise.
        extra: By name what a search asked for besides.
    """

    best_log_probs: NDArray[np.float32]
    best_token: NDArray[np.int64]
    log_probs: NDArray[np.float32] | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Continuation:
    """The hypotheses that live on: each one's last token, and which of the step before it extends."""

    parents: list[int]
    tokens: list[int]


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
        """The decoder step's outputs that it reads of `StepOutputs.extra`."""

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
        """Of a search that is over: its hypotheses, best score first."""


def finish(
    request: SequenceRequest, token_ids: tuple[int, ...], log_prob: float, reason: StopReason
) -> Hypothesis:
    """A finished target and its score."""
    score = log_prob / length_penalty(len(token_ids), request.length_penalty)
    return Hypothesis(token_ids=token_ids, log_prob=log_prob, score=score, stop_reason=reason)


def not_a_number() -> InferenceError:
    """What every search raises of a row that the model gave no numbers for."""
    return InferenceError("runtime", "a log-probability is not a number")
