"""Every form changes both sides alike; what is put in stands on both sides."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.preparation.augment import EMOJI, Augmenter
from model.preparation.inventions import Inventions

PAIR = ('Tom bought "12" apples - all red.', 'Tom ha comprato "12" mele - tutte rosse.')


def _forms(seed: int, count: int, pair: tuple[str, str] = PAIR) -> list[tuple[str, str]]:
    chance = Random(seed)
    augmenter = Augmenter(chance, Inventions(chance, ("Rossi",)), "\ue000\ue001", "Tom")
    return [augmenter.form(*pair) for _ in range(count)]


def test_the_same_seed_makes_the_same_forms() -> None:
    assert _forms(1, 200) == _forms(1, 200) != _forms(2, 200)


def test_each_form_comes_up() -> None:
    forms = _forms(0, 4000)
    texts = [first for first, _ in forms]
    for sign in ("“", "…", "<", "\ue000", "@", "https://", "•", "«", "\u2013", "%s", "Rossi"):
        assert any(sign in text for text in texts), sign
    assert any(emoji in text for text in texts for emoji in EMOJI)
    assert any(text.isupper() for text in texts)
    assert any(text.islower() for text in texts)
    assert any(text.endswith("red") for text in texts)


def test_digits_and_what_is_put_in_are_the_same_on_both_sides() -> None:
    for first, second in _forms(3, 2000):
        assert sorted(c for c in first if c.isdigit()) == sorted(c for c in second if c.isdigit())
        for sign in "<>{}%$@#`()[]\ue000\ue001“”«»…/":
            assert first.count(sign) == second.count(sign), (sign, first, second)


def test_most_pairs_stay_as_they_are() -> None:
    pair = ("It is late.", "È tardi.")
    unchanged = sum(form == pair for form in _forms(4, 2000, pair))
    assert 0.75 < unchanged / 2000 < 0.92


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 10**6))
def test_no_text_is_too_odd(first: str, second: str, seed: int) -> None:
    assert all(isinstance(text, str) for form in _forms(seed, 20, (first, second)) for text in form)


@pytest.mark.parametrize("make", ["word", "name", "url", "email", "placeholder", "number"])
def test_inventions_are_many_and_without_line_ends(make: str) -> None:
    inventions = Inventions(Random(5))
    things = {getattr(inventions, make)() for _ in range(300)}
    assert len(things) > 100
    assert not any("\n" in thing or "\t" in thing or not thing for thing in things)
