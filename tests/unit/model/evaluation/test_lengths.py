"""Every sentence stands in one length."""

from __future__ import annotations

import pytest

from model.evaluation.lengths import by_length


@pytest.mark.parametrize(
    ("num_words", "name"),
    [(0, "1-10"), (1, "1-10"), (10, "1-10"), (11, "11-20"), (20, "11-20"), (21, "21-40"), (41, "41+")],
)
def test_a_sentence_stands_in_the_length_of_its_words(num_words: int, name: str) -> None:
    assert by_length(["word " * num_words]) == {name: [0]}


def test_places_are_in_order_and_empty_lengths_left_out() -> None:
    assert by_length(["a", "b " * 30, "c"]) == {"1-10": [0, 2], "21-40": [1]}
