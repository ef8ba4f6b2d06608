"""What a proof is made of: checks that passed, and a refusal that names those that did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ProofError(RuntimeError):
    """The proof refuses an artifact; the message lists every check that failed."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was shown, or not.

    Args:
        name: What a failure means is wrong.
        what: What was measured, with its unit.
        measured: The value seen.
        limit: It passes up to and including this.
    """

    name: str
    what: str
    measured: float
    limit: float

    @property
    def passed(self) -> bool:
        """NaN never passes."""
        return self.measured <= self.limit


def require(checks: Sequence[Check]) -> None:
    """Refuse if any check failed.

    Raises:
        ProofError: names each failed check with the value and the limit.
    """
    failed = [c for c in checks if not c.passed]
    if failed:
        lines = [f"{c.name}: {c.measured:.6g}, limit {c.limit:.6g} ({c.what})" for c in failed]
        raise ProofError("the proof refuses this artifact: " + "; ".join(lines))


def differences(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
    """Absolute differences; 0 where both are the same infinity, as of a token that its bias rules out.

    >>> differences(np.array([1.0, -np.inf]), np.array([1.5, -np.inf])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(invalid="ignore"):
        return np.where(ours == theirs, 0.0, np.abs(ours - theirs))
