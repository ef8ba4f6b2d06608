"""The sentences that a proof translates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.proof.checks import ProofError
from model.tokenizer import Tokenizer

MIN_PAIRS = 100
CAPACITY = 256


@dataclass(frozen=True)
class Sentence:
    """A source, what it was translated to by a person, and how long its translation may get."""

    source: tuple[int, ...]
    reference: str
    capacity: int = CAPACITY

    @property
    def max_target_tokens(self) -> int:
        """Room enough for a real translation, and an end for one that loops."""
        return min(2 * len(self.source) + 10, self.capacity)


def prepare(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, capacity: int = CAPACITY
) -> list[Sentence]:
    """Every pair as two sentences, one a direction; columns stand in the order of the tokenizer's languages.

    Args:
        capacity: Longest source and target, in tokens.

    Raises:
        ProofError: too few pairs, or a sentence too long for the proof.
    """
    if len(pairs) < MIN_PAIRS:
        raise ProofError(f"{len(pairs)} sentence pairs, the proof needs at least {MIN_PAIRS}")
    if len(tokenizer.languages) != 2:
        raise ProofError(f"the model has languages {', '.join(tokenizer.languages)}, the proof takes 2")
    first, second = tokenizer.languages
    sentences = []
    for a, b in pairs:
        sentences.append(Sentence(tuple(tokenizer.encode_source(a, second)), b, capacity))
        sentences.append(Sentence(tuple(tokenizer.encode_source(b, first)), a, capacity))
    if (longest := max(len(s.source) for s in sentences)) > capacity:
        raise ProofError(f"a sentence has {longest} tokens, the proof takes at most {capacity}")
    return sentences


def spread_by_length(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """Some sentences of evenly spread lengths, long and short mixed."""
    ordered = sorted(sentences, key=lambda s: len(s.source))
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).astype(int)]
    return [chosen[i] for i in np.random.default_rng(0).permutation(count)]
