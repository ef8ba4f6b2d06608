"""Scores behave as BLEU and chrF must."""

from __future__ import annotations

import pytest

from model.evaluation.quality import evaluate

REFERENCES = ["Il gatto dorme sul tavolo della cucina.", "Domani andremo tutti insieme al mare."]


def test_the_reference_scores_100_and_nonsense_0() -> None:
    perfect, nonsense = evaluate(REFERENCES, REFERENCES), evaluate(["#", "#"], REFERENCES)
    assert [perfect.bleu, perfect.chrf] == pytest.approx([100, 100])
    assert (nonsense.bleu, nonsense.chrf) == (0, 0)


def test_a_wrong_word_costs_both_scores() -> None:
    found = evaluate([REFERENCES[0].replace("gatto", "cane"), REFERENCES[1]], REFERENCES)
    assert 0 < found.bleu < 100
    assert 0 < found.chrf < 100


def test_signatures_name_the_tokenization_and_the_version() -> None:
    found = evaluate(REFERENCES, REFERENCES)
    assert "tok:13a" in found.bleu_signature
    assert "version:" in found.chrf_signature
