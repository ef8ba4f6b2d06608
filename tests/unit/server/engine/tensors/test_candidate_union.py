"""Places of tokens while rows come and go."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.tensors.candidate_union import CandidateUnion, Tokens

VOCABULARY = 40
NUM_ROWS = 6

token_sets = st.sets(st.integers(0, VOCABULARY - 1), min_size=1)
# Each action is of one row: it takes a set of tokens in place of what it had, or leaves.
actions = st.lists(
    st.tuples(st.integers(0, NUM_ROWS - 1), st.none() | token_sets, st.booleans()), max_size=40
)


def tokens(chosen: set[int]) -> Tokens:
    return np.array(sorted(chosen), np.int64)


@given(actions)
@settings(max_examples=200, deadline=None)
def test_every_needed_token_has_one_place_and_keeps_it(
    actions: list[tuple[int, set[int] | None, bool]],
) -> None:
    union, rows, places = CandidateUnion(VOCABULARY), dict[int, set[int]](), dict[int, int]()
    for row, chosen, may_forget in actions:
        if row in rows:
            union.remove(tokens(rows.pop(row)))
        if chosen is not None:
            rows[row] = chosen
            union.add(tokens(chosen))
        needed = set[int]().union(*rows.values())
        assert union.num_needed == len(needed)
        assert union.is_loose == (len(union.tokens) > 2 * len(needed))
        if may_forget and union.is_loose:
            union.forget()
            places.clear()
        start = len(union.tokens)
        missing = union.place_missing()
        assert missing.tolist() == sorted(needed - places.keys())
        places |= {int(token): start + i for i, token in enumerate(missing)}
        assert dict(zip(union.tokens.tolist(), range(len(union.tokens)), strict=True)) == places
        for own in rows.values():
            assert union.places(tokens(own)).tolist() == [places[token] for token in sorted(own)]


def test_a_token_that_nobody_scores_keeps_its_place_until_all_are_forgotten() -> None:
    union = CandidateUnion(10)
    first, second = np.array([2, 5, 7]), np.array([5])
    union.add(first)
    assert union.place_missing().tolist() == [2, 5, 7]
    union.add(second)
    union.remove(first)
    assert union.num_needed == 1
    assert union.is_loose
    assert union.place_missing().tolist() == []
    assert union.places(first).tolist() == [0, 1, 2]
    union.forget()
    assert union.place_missing().tolist() == [5]
    assert union.places(first).tolist() == [-1, 0, -1]
