"""What a proof is made of: checks that passed, and a refusal that names those that did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
