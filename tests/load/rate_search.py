"""The search for the highest rate that a server bears: geometric steps to either side, then bisection."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_POINTS = 10  # a search that still wanders ends: the machine was not quiet


@dataclass
class RateSearch:
    """One search; its rates are in queries a second.

    Args:
        start: Where it begins.
        step: Factor from one rate to the next until a rate is borne and another is not.
        resolution: It ends when the two are within this factor of each other.
    """

    start: float
    step: float
    resolution: float
    highest_borne: float = 0.0
    lowest_not_borne: float = math.inf
    num_points: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the limit is known well enough."""
        is_narrow = self.lowest_not_borne <= self.highest_borne * self.resolution
        return is_narrow or self.num_points >= MAX_POINTS

    def next_rate(self) -> float:
        """The rate to try."""
        if self.num_points == 0:
            return self.start
        if self.highest_borne == 0:
            return self.lowest_not_borne / self.step
        if math.isinf(self.lowest_not_borne):
            return self.highest_borne * self.step
        return math.sqrt(self.highest_borne * self.lowest_not_borne)

    def record(self, rate: float, *, is_borne: bool) -> None:
        """Tell it what became of a rate."""
        self.num_points += 1
        if is_borne:
            self.highest_borne = rate
        else:
            self.lowest_not_borne = rate


def search_together(
    searches: Mapping[str, RateSearch], is_borne: Callable[[str, float], bool]
) -> dict[str, float]:
    """Run searches by turns, a rate each, so that what disturbs the machine disturbs all of them.

    Returns:
        For each the highest rate that was borne; 0 where none was.
    """
    while open_searches := {name: search for name, search in searches.items() if not search.is_done}:
        for name, search in open_searches.items():
            rate = search.next_rate()
            search.record(rate, is_borne=is_borne(name, rate))
    return {name: search.highest_borne for name, search in searches.items()}
