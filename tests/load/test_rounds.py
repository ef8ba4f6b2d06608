"""Ratios are paired and above 1 where ours is faster."""

from __future__ import annotations

import time

import pytest

from tests.load.rounds import figure, paired_rounds


def test_each_goes_first_in_every_other_round_and_the_warm_up_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    calls: list[str] = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    ours, peer = paired_rounds(lambda: measure("ours"), lambda: measure("peer"), 3)
    assert calls == ["peer", "ours", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert (ours, peer) == ([3, 6, 7], [4, 5, 8])


@pytest.mark.parametrize("less_is_better", [False, True])
def test_a_ratio_is_that_of_speeds_round_by_round(less_is_better: bool) -> None:
    rates, others = [20.0, 30.0, 50.0], [10.0, 20.0, 20.0]
    if less_is_better:
        rates, others = [1 / r for r in rates], [1 / r for r in others]
    row = figure(("a", "b", "c"), (rates, others), "1/s", less_is_better=less_is_better)
    assert row.key == ("a", "b", "c")
    assert (row.ratio_min, row.ratio_median, row.ratio_max) == pytest.approx((1.5, 2, 2.5))
    assert row.num_rounds == 3
