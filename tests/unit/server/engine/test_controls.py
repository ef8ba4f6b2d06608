"""What a decoder step is told of each row."""

from __future__ import annotations

import numpy as np

from server.engine.controls import Controls
from server.engine.search import Continuation

START = 2
OF_BEAMS = {"token", "position", "source_length", "is_ancestor", "parent"}


def controls_of(rows: int = 3, width: int = 2, capacity: int = 4) -> Controls:
    return Controls(OF_BEAMS, rows, width, capacity, START)


def columns(controls: Controls, row: int) -> list[list[int]]:
    assert controls.is_ancestor is not None
    return [np.flatnonzero(hypothesis).tolist() for hypothesis in controls.is_ancestor[row]]


def test_only_what_the_graph_asks_for_is_there() -> None:
    for inputs in (OF_BEAMS - {"parent"}, OF_BEAMS - {"is_ancestor"}, OF_BEAMS - {"is_ancestor", "parent"}):
        controls = Controls({*inputs, "memory_0"}, 2, 3, 4, START)
        assert controls.arrays.keys() == inputs
        controls.advance(1, Continuation([2, 0, 0], [5, 6, 7]))
        assert controls.arrays["token"][1].tolist() == [5, 6, 7]
        assert controls.arrays["position"].tolist() == [0, 1]


def test_hypotheses_see_the_columns_of_those_they_descend_from() -> None:
    controls = controls_of()
    assert columns(controls, 1) == [[0], [1]]
    controls.advance(1, Continuation([1, 1], [5, 6]))
    assert columns(controls, 1) == [[1, 2], [1, 3]]
    controls.advance(1, Continuation([1, 0], [7, 8]))
    assert columns(controls, 1) == [[1, 3, 4], [1, 2, 5]]
    assert columns(controls, 0) == columns(controls, 2) == [[0], [1]]


def test_a_reset_row_is_at_step_0_and_goes_on_from_itself() -> None:
    controls = controls_of()
    controls.advance(1, Continuation([1, 1], [5, 6]))
    assert controls.parent is not None
    assert controls.parent.tolist() == [[0, 1], [1, 1], [0, 1]]
    controls.reset(1, source_length=7)
    assert controls.parent[1].tolist() == [0, 1]
    assert (controls.token[1].tolist(), controls.position[1]) == ([START, START], 0)
    assert controls.source_length.tolist() == [1, 7, 1]
    assert columns(controls, 1) == [[0], [1]]


def test_a_full_row_moves_to_a_larger_lane_with_its_history() -> None:
    small, large = controls_of(), controls_of(capacity=8)
    for _ in range(4):
        small.advance(0, Continuation([1, 0], [5, 6]))
    large.advance(2, Continuation([0, 0], [9, 9]))
    small.copy_row(0, large, 2)
    assert columns(large, 2) == [[0, 3, 4, 7, 8], [1, 2, 5, 6, 9]]
    assert large.parent is not None
    assert large.parent[2].tolist() == [1, 0]
    assert (large.token[2].tolist(), large.position[2]) == ([5, 6], 4)
