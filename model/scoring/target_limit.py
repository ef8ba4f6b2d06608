"""How long a translation may get where nobody says so. Knows nothing of PyTorch: the server uses it too."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TargetLimit:
    """A limit on target tokens that grows with the source: factor · S, rounded up, and some more.

    Both lengths count the end of the sentence. Marian calls the factor max-length-factor and has no more.

    Args:
        factor: At least 0.
        extra: Room for short sources, in tokens; at least 1 if the factor is 0.

    Raises:
        ValueError: A target would have no room.

    >>> TargetLimit().tokens(5), TargetLimit(factor=2.5, extra=0).tokens(5)
    (26, 13)
    """

    factor: float = 2.0
    extra: int = 16

    def __post_init__(self) -> None:
        is_positive = math.isfinite(self.factor) and self.factor >= 0 and self.extra >= 0
        if not is_positive or self.factor + self.extra <= 0:
            raise ValueError(
                f"a target limit of {self.factor} times the source and {self.extra} tokens: "
                "neither may be below 0, nor both be 0"
            )

    def tokens(self, num_source_tokens: int) -> int:
        """The most tokens of a translation of such a source."""
        return math.ceil(self.factor * num_source_tokens) + self.extra


DEFAULT_TARGET_LIMIT = TargetLimit()
