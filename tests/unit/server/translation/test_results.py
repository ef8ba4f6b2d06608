"""What is derived of a hypothesis."""

from __future__ import annotations

import math

import pytest

from server.engine.sequence import StopReason
from server.translation.results import TranslatedHypothesis


@pytest.mark.parametrize(
    ("log_prob", "num_tokens", "expected"),
    [(3 * math.log(0.5), 3, 0.5), (0.0, 2, 1.0), (None, 3, None), (0.0, 0, None)],
    ids=["the mean", "certain", "scores are skipped", "no model ran"],
)
def test_how_sure_a_model_is_is_the_geometric_mean(
    log_prob: float | None, num_tokens: int, expected: float | None
) -> None:
    hypothesis = TranslatedHypothesis(
        text="a", score=None, log_prob=log_prob, stop_reason=StopReason.END, num_target_tokens=num_tokens
    )
    assert hypothesis.mean_token_probability == pytest.approx(expected)
