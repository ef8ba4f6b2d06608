"""How many candidates a shortlist gives and how much of the references they hold, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.shortlist.shortlist import Shortlist
from model.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Figures of one direction.

    Args:
        mean_candidates: Of a sentence.
        vocabulary_size: What it would be without a shortlist.
        token_share: Of all target tokens, END_ID included, those that are candidates.
        sentence_share: Of all targets, those of which every token is.
    """

    mean_candidates: float
    vocabulary_size: int
    token_share: float
    sentence_share: float

    def __str__(self) -> str:
        share = self.mean_candidates / self.vocabulary_size
        return (
            f"{self.mean_candidates:.0f} candidates a sentence ({share:.1%} of the vocabulary) hold "
            f"{self.token_share:.2%} of the target tokens and all of {self.sentence_share:.1%} of the targets"
        )


def coverage(
    shortlist: Shortlist, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Coverage:
    """Measure it on sentences of one or more directions.

    Args:
        sources: Ids of each, with tag and END_ID; at least one.
        targets: Ids of a translation each: of references, or of a model's own.
    """
    counts, held = [], []
    for source, target in zip(sources, targets, strict=True):
        candidates = shortlist.candidates(source)
        counts.append(len(candidates))
        held.append(np.isin(target, candidates))  # (T)
    return Coverage(
        mean_candidates=float(np.mean(counts)),
        vocabulary_size=shortlist.vocabulary_size,
        token_share=float(np.mean(np.concatenate(held))),
        sentence_share=float(np.mean([is_held.all() for is_held in held])),
    )


def measure(
    shortlist: Shortlist, pairs: Sequence[tuple[str, str]], languages: tuple[str, str], tokenizer: Tokenizer
) -> dict[str, Coverage]:
    """Coverage of sentence pairs, by direction "en-it"."""
    first, second = languages
    found = {}
    for one, other, rows in ((first, second, pairs), (second, first, [(b, a) for a, b in pairs])):
        sources = [tokenizer.encode_source(source, other, source_language=one) for source, _ in rows]
        found[f"{one}-{other}"] = coverage(
            shortlist, sources, [tokenizer.encode_target(target) for _, target in rows]
        )
    return found
