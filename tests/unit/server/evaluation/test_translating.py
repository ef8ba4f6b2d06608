"""Which directions a model has, whatever the case of their codes."""

from __future__ import annotations

import pytest

from server.evaluation.translating import Direction, lacking

THERE, BACK = Direction(source="EN", target="zh-Hans"), Direction(source="zh-Hans", target="EN")


@pytest.mark.parametrize(
    ("served", "missing"),
    [({THERE.lower(), BACK.lower()}, None), ({THERE.lower()}, BACK), ({BACK.lower()}, THERE), (set(), None)],
)
def test_a_model_of_one_direction_lacks_the_other(served: set[Direction], missing: Direction | None) -> None:
    assert lacking(served, THERE, BACK) == missing
