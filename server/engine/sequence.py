"""What the engine is asked for and what it answers: token ids only, no text and no protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StopReason(Enum):
    """Why a hypothesis ended."""

    END = "eos"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class SequenceRequest:
    """One source to translate.

    Args:
        sequence_id: Unique among live requests.
        source: Token ids, special ones included.
        beam_size: W; 1 is greedy search.
        length_penalty: Alpha of Wu et al. 2016.
        max_target_tokens: Limit on each hypothesis, end of sentence included.
    """

    sequence_id: int
    source: tuple[int, ...]
    beam_size: int
    length_penalty: float
    max_target_tokens: int


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A finished target.

    Args:
        token_ids: The end of sentence is the last one if stop_reason is END.
        log_prob: Sum over the tokens, natural logarithm.
        score: log_prob / length penalty.
    """

    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    stop_reason: StopReason


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A translated sequence, best hypothesis first."""

    sequence_id: int
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A sequence that could not be translated; its slot is free again."""

    sequence_id: int
    error: Exception


class InferenceError(RuntimeError):
    """ONNX Runtime failed, or gave a score that is no number.

    Args:
        kind: out_of_memory, cuda or runtime.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
