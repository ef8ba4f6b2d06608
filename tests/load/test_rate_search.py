"""The search for a limit finds it, from either side and whatever the start."""

from __future__ import annotations

import pytest

from tests.load.rate_search import MAX_POINTS, RateSearch, search_together


@pytest.mark.parametrize("limit", [15.0, 99.0, 100.0, 101.0, 750.0])
def test_search_ends_within_its_resolution_below_the_limit(limit: float) -> None:
    found = search_together({"server": RateSearch(100.0, 1.5, 1.03)}, lambda name, rate: rate <= limit)
    assert limit / 1.03 <= found["server"] <= limit


def test_searches_take_turns() -> None:
    limits = {"slow": 50.0, "fast": 120.0}
    turns: list[str] = []

    def is_borne(name: str, rate: float) -> bool:
        turns.append(name)
        return rate <= limits[name]

    search_together({name: RateSearch(80.0, 1.5, 1.1) for name in limits}, is_borne)
    assert turns[:6] == ["slow", "fast"] * 3


def test_search_that_finds_no_rate_ends_with_zero() -> None:
    found = search_together({"server": RateSearch(100.0, 1.5, 1.03)}, lambda name, rate: False)
    assert found["server"] == 0.0


def test_search_ends_after_the_most_points_it_may_take() -> None:
    search = RateSearch(1.0, 2.0, 1.01)
    while not search.is_done:
        search.record(search.next_rate(), is_borne=True)
    assert search.num_points == MAX_POINTS
