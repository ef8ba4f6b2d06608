"""A script is wrong if the target language is not written in it, and nobody quotes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.scripts import is_in_wrong_script
from tests.unit.server.documents.texts import unhurried

CYRILLIC, CHINESE, ENGLISH = "Кошка сидит на столе.", "猫坐在桌子上", "The cat is on the table."


@pytest.mark.parametrize(
    ("source", "target", "pair", "expected"),
    [
        (ENGLISH, CYRILLIC, "en-ru", False),
        (ENGLISH, CYRILLIC, "en-sr_Latn", True),
        (ENGLISH, CYRILLIC, "en-sr", False),
        (ENGLISH, ENGLISH, "en-zh-Hans", True),
        (CHINESE, CHINESE, "zh-en", True),
        ("猫がテーブルの上", "猫がテーブルの上", "en-zh", False),  # quoted: English is not written so
        (ENGLISH, CYRILLIC, "en-xx", False),
        (ENGLISH, "Windows 11", "en-ja", False),
        (ENGLISH, "ソフト Windows Server 2025 を使う", "en-ja", True),
    ],
)
def test_a_script_is_that_of_the_language(source: str, target: str, pair: str, expected: bool) -> None:
    first, _, second = pair.partition("-")
    assert is_in_wrong_script(source, target, (first, second)) is expected


@unhurried
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x24F)), st.text())
def test_latin_letters_are_right_in_italian_whatever_stands_around(target: str, source: str) -> None:
    assert not is_in_wrong_script(source, target, ("en", "it"))
