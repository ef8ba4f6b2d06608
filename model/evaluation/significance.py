"""Whether one model's scores are above another's by more than the choice of sentences explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest, Result

SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A score beside a baseline's on the same sentences.

    Args:
        score, baseline: From 0 to 100.
        p_value: How probable so great a difference would be, were both models equally good.
    """

    score: float
    baseline: float
    p_value: float


def compare(
    hypotheses: Sequence[str], baseline: Sequence[str], references: Sequence[str], samples: int = SAMPLES
) -> dict[str, Comparison]:
    """BLEU and chrF of two models' translations, by paired bootstrap (Koehn 2004, W04-3250).

    Args:
        hypotheses, baseline, references: Texts, one for each sentence.
        samples: How many times as many sentences are drawn anew; the draws are the same every time.

    Returns:
        By `BLEU` and `chrF`.
    """
    test = PairedTest(
        [("baseline", list(baseline)), ("model", list(hypotheses))],
        {"BLEU": BLEU(), "chrF": CHRF()},
        [list(references)],
        test_type="bs",
        n_samples=samples,
    )
    _, results = test()
    return {name: _comparison(results[metric]) for name, metric in (("BLEU", "BLEU"), ("chrF", "chrF2"))}


def _comparison(results: Sequence[str | Result]) -> Comparison:
    baseline, model = results
    assert isinstance(baseline, Result)
    assert isinstance(model, Result)
    assert model.p_value is not None
    return Comparison(score=model.score, baseline=baseline.score, p_value=model.p_value)
