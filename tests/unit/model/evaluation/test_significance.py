"""A difference is real or chance."""

from __future__ import annotations

import pytest

from model.evaluation.quality import evaluate
from model.evaluation.significance import compare

REFERENCES = [f"il gatto numero {i} dorme sul tavolo della cucina" for i in range(40)]
WORSE = [text.replace("tavolo", "letto") for text in REFERENCES]


def test_a_better_model_is_better_beyond_chance() -> None:
    compared = compare(REFERENCES, WORSE, REFERENCES, samples=200)
    assert set(compared) == {"BLEU", "chrF"}
    assert compared["BLEU"].score == pytest.approx(100)
    assert compared["BLEU"].baseline == pytest.approx(evaluate(WORSE, REFERENCES).bleu)
    assert max(result.p_value for result in compared.values()) < 0.05


def test_one_word_in_forty_sentences_may_be_chance() -> None:
    slightly = [REFERENCES[0].replace("cucina", "camera"), *REFERENCES[1:]]
    assert compare(REFERENCES, slightly, REFERENCES, samples=200)["BLEU"].p_value > 0.05


def test_the_draws_are_the_same_every_time() -> None:
    first, second = (compare(REFERENCES, WORSE, REFERENCES, samples=50) for _ in range(2))
    assert first == second
