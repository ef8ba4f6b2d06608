"""What the engine is asked for and what it answers: token ids only, no text and no protobuf."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from model.scoring.length_penalty import PenaltyKind
from server.engine.constraints import Constraints


class StopReason(Enum):
    """Why a hypothesis ended."""

    END = "eos"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Beam search; a beam of one is greedy search."""

    beam_size: int

    @property
    def width(self) -> int:
        """W, the hypotheses that run side by side."""
        return self.beam_size


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Draw each token at random, from the probabilities as temperature, top_k and top_p leave them.

    Args:
        temperature: Divides the logits; above 0.
        top_k: Keep so many of the most probable tokens; 0 keeps all.
        top_p: Of those keep the smallest set whose probability reaches this; 1 keeps all.
        seed: The same seed gives the same text, alone and in any batch.
    """

    temperature: float
    top_k: int
    top_p: float
    seed: int

    @property
    def width(self) -> int:
        """W, the hypotheses that run side by side."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """Contrastive search (Su et al. 2022, arXiv:2202.06417, equation 5).

    Args:
        top_k: k, candidates at each step.
        penalty_alpha: Weight of the degeneration penalty; 0 is greedy search.
    """

    top_k: int
    penalty_alpha: float

    @property
    def width(self) -> int:
        """W, the hypotheses that run side by side."""
        return self.top_k


Method = Beam | Sampling | Contrastive


@dataclass(frozen=True, kw_only=True)
class AttentionChoice:
    """Which attention over the source to return.

    Args:
        layer: Of the decoder, from 0.
        heads: From 0; the mean over these is returned.
    """

    layer: int
    heads: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SequenceRequest:
    """One source to translate.

    Args:
        sequence_id: Unique among live requests.
        source: Token ids, special ones included.
        method: How to search.
        length_penalty: Alpha.
        penalty_kind: What alpha is the power of, see `length_penalty`.
        max_target_tokens: Limit on each hypothesis, end of sentence included.
        attention: What attention to return with each hypothesis; None for none.
        with_scores: False saves greedy search the log-probabilities; other methods need them anyway.
        first_token: What every hypothesis begins with, at log-probability 0; None for what it likes.
        constraints: What no hypothesis may be; a first token is the first of their prefix, if that has any.
            None for none, which costs nothing.
    """

    sequence_id: int
    source: tuple[int, ...]
    method: Method
    length_penalty: float
    max_target_tokens: int
    attention: AttentionChoice | None = None
    with_scores: bool = True
    penalty_kind: PenaltyKind = "wu"
    first_token: int | None = None
    constraints: Constraints | None = None


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A finished target.

    Args:
        token_ids: The end of sentence is the last one if stop_reason is END.
        log_prob: Sum over the tokens, natural logarithm; None where the search did without.
        score: log_prob / length penalty; None where there is no log_prob.
        token_log_probs: Of each token, where one target is extended, as all methods but beam search do, and
            the search did not do without.
        attention: (T, S), the weights with which each token was predicted, where they were asked for.
    """

    token_ids: tuple[int, ...]
    log_prob: float | None
    score: float | None
    stop_reason: StopReason
    token_log_probs: tuple[float, ...] | None = field(default=None, compare=False)
    attention: NDArray[np.float32] | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A translated sequence, best hypothesis first."""

    sequence_id: int
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A sequence that could not be translated; its slot is free again.

    Args:
        is_shared: Whether others failed of the same error, so that it may not be this sequence's own.
    """

    sequence_id: int
    error: Exception
    is_shared: bool = False


class InferenceError(RuntimeError):
    """ONNX Runtime failed, or gave a score that is no number.

    Args:
        kind: out_of_memory, cuda or runtime.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
