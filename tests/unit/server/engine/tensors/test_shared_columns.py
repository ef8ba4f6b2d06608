"""What hypotheses copy of each other, against whole pasts as lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engine.tensors.shared_columns import SharedColumns

WIDTH = 3
chosen_parents = st.lists(st.integers(0, WIDTH - 1), min_size=WIDTH, max_size=WIDTH)


@given(st.lists(chosen_parents, max_size=12))
def test_only_the_columns_in_which_pasts_differ_are_copied(steps: list[list[int]]) -> None:
    shared = SharedColumns(2, WIDTH)
    pasts: list[list[int]] = [[] for _ in range(WIDTH)]
    for step, parents in enumerate(steps):
        for i, past in enumerate(pasts):
            past.append(step * WIDTH + i)
        copies = shared.inherit(1, parents, step + 1)
        assert [(parent, i) for parent, i, _ in copies] == [(p, i) for i, p in enumerate(parents) if p != i]
        for parent, i, start in copies:
            assert pasts[parent][:start] == pasts[i][:start]
            assert pasts[parent][start] != pasts[i][start]
        pasts = [list(pasts[parent]) for parent in parents]


def test_a_row_that_is_reset_shares_nothing_and_one_that_is_copied_shares_the_same() -> None:
    shared = SharedColumns(2, 2)
    assert shared.inherit(0, [0, 0], 5) == [(0, 1, 0)]
    shared.copy_row(0, 1)
    shared.reset(0)
    assert shared.inherit(0, [1, 1], 6) == [(1, 0, 0)]
    assert shared.inherit(1, [1, 1], 6) == [(1, 0, 5)]
