"""What a decoder step is told of each row."""

from __future__ import annotations

from server.engine.searches.search import Continuation
from server.engine.tensors.controls import Controls

START = 2
OWN = [0, 1]


def told(controls: Controls, row: int) -> tuple[object, ...]:
    """Token, position, source length and parent of a row, as a graph reads them."""
    names = ("token", "position", "source_length", "parent")
    return tuple(controls.arrays[name][row].tolist() for name in names)


def test_a_free_row_is_at_step_0_of_one_source_token() -> None:
    controls = Controls(3, 2, START)
    assert controls.arrays.keys() == {"token", "position", "source_length", "parent"}
    assert [told(controls, row) for row in range(3)] == [([START, START], 0, 1, OWN)] * 3


def test_an_advance_feeds_the_tokens_of_its_own_row_one_position_on() -> None:
    controls = Controls(3, 2, START)
    controls.advance({1: Continuation([1, 1], [5, 6])})
    controls.advance({1: Continuation([0, 1], [7, 8])})
    assert told(controls, 1) == ([7, 8], 2, 1, [0, 1])
    assert told(controls, 0) == told(controls, 2) == ([START, START], 0, 1, OWN)


def test_rows_advance_together_each_with_its_own() -> None:
    controls = Controls(4, 2, START)
    controls.advance({3: Continuation([1, 0], [5, 6])})
    controls.advance({2: Continuation([1, 1], [7, 8]), 3: Continuation([0, 0], [9, 10])})
    assert told(controls, 2) == ([7, 8], 1, 1, [1, 1])
    assert told(controls, 3) == ([9, 10], 2, 1, [0, 0])
    assert told(controls, 0) == told(controls, 1) == ([START, START], 0, 1, OWN)
    controls.advance({})
    assert [told(controls, row)[1] for row in range(4)] == [0, 0, 1, 2]


def test_a_single_hypothesis_goes_on_from_itself() -> None:
    controls = Controls(2, 1, START)
    controls.advance({1: Continuation([0], [5])})
    assert told(controls, 1) == ([5], 1, 1, [0])


def test_a_reset_row_is_at_step_0_and_goes_on_from_itself() -> None:
    controls = Controls(3, 2, START)
    controls.advance({1: Continuation([1, 1], [5, 6])})
    controls.reset(1, source_length=7)
    assert told(controls, 1) == ([START, START], 0, 7, OWN)
    assert [told(controls, row)[2] for row in (0, 2)] == [1, 1]


def test_a_copied_row_is_told_the_same_and_goes_its_own_way() -> None:
    controls = Controls(3, 2, START)
    controls.reset(0, source_length=7)
    controls.advance({0: Continuation([1, 1], [5, 6])})
    controls.copy_row(0, 2)
    assert told(controls, 2) == told(controls, 0) == ([5, 6], 1, 7, [1, 1])
    controls.advance({2: Continuation([0, 0], [8, 9])})
    assert told(controls, 0) == ([5, 6], 1, 7, [1, 1])
    assert told(controls, 1) == ([START, START], 0, 1, OWN)
