"""Loops, lengths and copies are noticed, and good translations are left in peace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.guards import loops, suspicions
from server.documents.warnings import WarningReason
from tests.unit.server.documents.texts import unhurried

SOURCE = "The cat is on the table."


@pytest.mark.parametrize(
    ("source", "target", "lengths", "expected"),
    [
        (SOURCE, "Il gatto è sul tavolo.", (8, 8), []),
        (SOURCE, "Il gatto il gatto il gatto è.", (8, 12), [WarningReason.REPETITION]),
        ("No, no, no!", "No, no, no!", (8, 8), []),
        ("No!", "Nonononononono!", (4, 8), [WarningReason.REPETITION]),
        (SOURCE, "Il gatto.", (8, 41), [WarningReason.TOO_LONG]),
        (SOURCE, "Il gatto.", (80, 5), [WarningReason.TOO_SHORT]),
        (SOURCE, "The cat is on the table.", (8, 8), [WarningReason.SOURCE_COPIED]),
        (SOURCE, "The cat is on il tavolo.", (8, 8), []),
        (f"I see: {SOURCE}", "I see: The cat is on the tavolo.", (12, 12), [WarningReason.SOURCE_COPIED]),
        ("New York", "New York", (4, 4), []),
        (SOURCE, "Кошка сидит на столе.", (8, 8), [WarningReason.WRONG_SCRIPT]),
        (SOURCE, "猫在桌子上", (8, 8), [WarningReason.WRONG_SCRIPT]),
        (SOURCE, "Il gatto di Достоевский è lì.", (8, 8), []),
    ],
    ids=[
        *("good", "loop", "a loop in both", "letters", "long", "short", "copied", "half copied"),
        *("nearly copied", "a name", "another script", "a script without spaces", "a name in its own script"),
    ],
)
def test_what_looks_wrong_is_named(
    source: str, target: str, lengths: tuple[int, int], expected: list[WarningReason]
) -> None:
    assert list(suspicions(source, target, *lengths, ("en", "it"))) == expected


@unhurried
@given(st.lists(st.sampled_from(["the", "boat", "è", "船"]), min_size=1, max_size=6), st.integers(2, 5))
def test_words_said_again_and_again_are_a_loop(words: list[str], times: int) -> None:
    assert loops(" ".join(words * times)) >= times
