"""How a hypothesis' log-probability becomes a score that can be compared across lengths. No PyTorch."""

from __future__ import annotations


def length_penalty(num_tokens: int, alpha: float) -> float:
    """Divide a hypothesis' log-probability by this so that short targets do not win by default.

    ((5 + num_tokens) / 6) ** alpha

    Args:
        num_tokens: Target length in tokens, end of sentence included.
        alpha: 0 turns the penalty off.

    Source: Wu et al. 2016, arXiv:1609.08144, section 7.

    >>> length_penalty(7, alpha=1.0)
    2.0
    >>> length_penalty(7, alpha=0.0)
    1.0
    """
    return float(((5 + num_tokens) / 6) ** alpha)
