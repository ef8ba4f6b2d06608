"""BLEU and chrF of translations, with sacrebleu (Post 2018, arXiv:1804.08771)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF


@dataclass(frozen=True)
class Quality:
    """Corpus scores from 0 to 100, and sacrebleu's signatures, which name how they were counted."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def evaluate(hypotheses: Sequence[str], references: Sequence[str]) -> Quality:
    """Score detokenized translations against one reference each."""
    bleu, chrf = BLEU(), CHRF()
    return Quality(
        bleu=bleu.corpus_score(hypotheses, [references]).score,
        chrf=chrf.corpus_score(hypotheses, [references]).score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )
