"""How a hypothesis' log-probability becomes a score that can be compared across lengths. No PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

PenaltyKind = Literal["wu", "power"]
PENALTY_KINDS: tuple[PenaltyKind, ...] = ("wu", "power")
MAX_ALPHA = 10.0


def length_penalty(num_tokens: int, alpha: float, kind: PenaltyKind = "wu") -> float:
    """Divide a hypothesis' log-probability by this so that short targets do not win by default.

    "wu" is ((5 + num_tokens) / 6) ** alpha, "power" num_tokens ** alpha.

    Args:
        num_tokens: Target length in tokens, end of sentence included.
        alpha: 0 turns the penalty off.

    Source: Wu et al. 2016, arXiv:1609.08144, section 7; Transformers and Marian (normalize) have the power.

    >>> length_penalty(7, alpha=1.0), length_penalty(7, alpha=1.0, kind="power")
    (2.0, 7.0)
    >>> length_penalty(7, alpha=0.0)
    1.0
    """
    return float((num_tokens if kind == "power" else (5 + num_tokens) / 6) ** alpha)


@dataclass(frozen=True, kw_only=True)
class LengthPenalty:
    """The length penalty that a model was tuned with.

    Args:
        kind: See `length_penalty`.
        alpha: Where a client names none.

    Raises:
        ValueError: An unknown kind, or an alpha that is out of range.
    """

    kind: PenaltyKind = "wu"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in PENALTY_KINDS:
            raise ValueError(f"kind is {self.kind!r}, must be one of {', '.join(PENALTY_KINDS)}")
        if not (math.isfinite(self.alpha) and 0 <= self.alpha <= MAX_ALPHA):
            raise ValueError(f"alpha is {self.alpha}, must be at least 0 and at most {MAX_ALPHA:g}")


DEFAULT_LENGTH_PENALTY = LengthPenalty()
