"""Nobody misses what is dropped: controls and marks of direction go, emoji and joined scripts stay whole."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given

from server.documents.invisible import same_length, trimmed, visible
from tests.unit.server.documents.texts import texts, unhurried


@pytest.mark.parametrize(
    "text",
    [
        "Hello, perché naïve €5 “so” – tab\there",
        "👩\u200d🚀 ❤\ufe0f 1\ufe0f\u20e3 👩\u200d❤\ufe0f\u200d👨",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "می\u200cخواهم",
        "क्\u200dष",
        "10² ½ a\u0301",
    ],
    ids=["plain", "emoji", "flag", "Persian", "Hindi", "figures"],
)
def test_what_carries_meaning_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good morn\u00ading.", "Good morning."),
        ("Good\x0bmorning.", "Good morning."),
        ("Good\u200b morn\u200ding\u2060.", "Good morning."),
        ("a\0b\x92c\u202ed\ufe0fe", "abcde"),
        ("a\u2028b\x85\u200bc", "a b c"),
    ],
)
def test_what_nobody_sees_is_dropped_or_becomes_a_space(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_every_control_alone_is_nothing() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Cc":
            start, end = trimmed(chr(code), 0, 1)
            assert visible(chr(code)[start:end]) == ""


@unhurried
@given(texts)
def test_it_is_done_once_and_adds_nothing(text: str) -> None:
    once = visible(text)
    assert visible(once) == once
    assert len(once) <= len(text)
    assert len(same_length(text)) == len(text)


@unhurried
@given(texts)
def test_the_ends_are_white_or_invisible(text: str) -> None:
    start, end = trimmed(text, 0, len(text))
    assert text[start:end] == text[start:end].strip()
    assert not visible(text[:start]).strip()
    assert not visible(text[end:]).strip()
