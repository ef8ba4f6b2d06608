"""What a hypothesis may not be, whatever searches for it: one rule on the log-probabilities of a next token.

Pure: a row's log-probabilities and its target so far in, log-probabilities out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Forbidding(Protocol):
    """Knows tokens that must not follow a target prefix, such as those that complete a forbidden term."""

    def after(self, prefix: Sequence[int]) -> NDArray[np.int64]:
        """Their ids, in any order and as often as it likes; the end of sentence is none of them."""


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Rules for every hypothesis of a sequence; each by default constrains nothing.

    Args:
        prefix: What the target begins with; the other rules do not hold for these tokens.
        min_target_tokens: Fewest tokens of a target that ends, end of sentence included.
        no_repeat_ngram_size: No run of so many tokens occurs twice in a target; 0 is no such rule.
        repetition_penalty: Factor of the log-probabilities of tokens that the target has already; above 1
            they become less probable.
        forbidden: Further tokens that must not follow.

    Source: the options of those names of CTranslate2's `Translator.translate_batch`; Keskar et al. 2019,
        arXiv:1909.05858, section 4.1, for the penalty, here of log-probabilities.
    """

    prefix: tuple[int, ...] = ()
    min_target_tokens: int = 1
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    forbidden: Forbidding | None = None

    def applied(
        self, log_probs: NDArray[np.float32], prefix: Sequence[int], end_id: int
    ) -> NDArray[np.float32]:
        """Log-probabilities of the next token (V) as a search shall see them.

        What may not be has minus infinity. The others are the model's own, not normalised again, but for
        those that a repetition penalty changes. Where nothing may follow, the end of sentence may.

        Args:
            prefix: The target so far, without start.
        """
        if len(prefix) < len(self.prefix):
            return _alone(log_probs, self.prefix[len(prefix)])
        allowed = log_probs.copy()
        if self.repetition_penalty != 1:
            allowed[list(set(prefix))] *= self.repetition_penalty
        if self.no_repeat_ngram_size:
            allowed[list(repeating(prefix, self.no_repeat_ngram_size))] = -np.inf
        if self.forbidden is not None:
            allowed[self.forbidden.after(prefix)] = -np.inf
        if len(prefix) + 1 < self.min_target_tokens:
            allowed[end_id] = -np.inf
        return _alone(log_probs, end_id) if np.isneginf(allowed.max()) else allowed


def _alone(log_probs: NDArray[np.float32], token: int) -> NDArray[np.float32]:
    allowed = np.full_like(log_probs, -np.inf)
    allowed[token] = log_probs[token]
    return allowed


def repeating(prefix: Sequence[int], size: int) -> Collection[int]:
    """The tokens after which the last `size` ones would occur a second time.

    >>> sorted(repeating((5, 6, 7, 5, 6), 3)), sorted(repeating((5, 6), 1))
    ([7], [5, 6])
    """
    last = tuple(prefix[len(prefix) - size + 1 :]) if size > 1 else ()
    starts = range(len(prefix) - size + 1)
    return {prefix[i + size - 1] for i in starts if tuple(prefix[i : i + size - 1]) == last}
