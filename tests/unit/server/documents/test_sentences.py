"""Lines and sentences are the whole text, whatever the splitter makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given

from server.documents.sentences import _sentences, line_ranges, sentence_ranges
from tests.unit.server.documents.texts import languages, texts, unhurried


@unhurried
@given(texts, languages)
def test_lines_are_the_text_and_sentences_are_the_line(text: str, language: str) -> None:
    lines = list(line_ranges(text))
    assert "".join(text[start:end] for start, end in lines) == text
    for start, end in lines:
        sentences = [text[first:last] for first, last in sentence_ranges(text, start, end, language)]
        assert "".join(sentences) == text[start:end]
        assert all(sentences)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_with_its_break(line_break: str) -> None:
    text = f"One{line_break}Two"
    assert [text[start:end] for start, end in line_ranges(text)] == [f"One{line_break}", "Two"]


@pytest.mark.parametrize(
    ("language", "expected"), [("it", 2), ("IT-ch", 2), ("en", 3)], ids=["it", "a region", "en"]
)
def test_abbreviations_are_those_of_the_language(language: str, expected: int) -> None:
    text = "Ciao sig. Rossi. Come va?"
    assert len(list(sentence_ranges(text, 0, len(text), language))) == expected


def test_a_panic_of_the_splitter_costs_nobody_an_answer() -> None:
    """One that it has; `sentence_ranges` spares it such white space."""
    assert "".join(_sentences("nl", "X\u2028.")) == "X\u2028."
    assert list(sentence_ranges("X\u2028.", 0, 3, "nl")) == [(0, 3)]
