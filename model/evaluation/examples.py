"""Translations to read: neither the best nor the worst, but those at the quartiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import CHRF

_QUARTILES = (25, 50, 75)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sentence at a quartile of all.

    Args:
        percentile: So many percent of the sentences have a lower chrF.
        chrf: Of the sentence, from 0 to 100.
    """

    percentile: int
    chrf: float
    source: str
    hypothesis: str
    reference: str


def at_quartiles(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> list[Example]:
    """The sentences at a quarter, half and three quarters of all, in the order of chrF; none of none."""
    metric = CHRF()
    scores = [
        metric.sentence_score(hypothesis, [reference]).score
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    order = sorted(range(len(scores)), key=scores.__getitem__)
    places = {percentile: order[percentile * len(order) // 100] for percentile in _QUARTILES if order}
    return [
        Example(
            percentile=percentile,
            chrf=scores[i],
            source=sources[i],
            hypothesis=hypotheses[i],
            reference=references[i],
        )
        for percentile, i in places.items()
    ]
