"""Where lines and sentences end. Ranges are in characters; together they are the whole text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sentencex

from server.documents.invisible import same_length

_LINE = re.compile("[^\n\v\f\r\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]|$)")
# sentencex takes quadratic time for some texts, as thousands of quotation marks. A longer sentence than this
# is cut anyway: no model takes it.
_MOST_CHARACTERS = 2048
_WHITE = re.compile(r"\s")


def line_ranges(text: str) -> Iterator[tuple[int, int]]:
    r"""The lines, each with its line break.

    >>> list(line_ranges("One\r\nTwo"))
    [(0, 5), (5, 8)]
    """
    for line in _LINE.finditer(text):
        if line.end() > line.start():
            yield line.span()


def sentence_ranges(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """The sentences of one line, each with the white space that follows it.

    Args:
        start, end: Of the line.
        language: A BCP-47 tag; of a language that the splitter does not know the rules of English hold.

    >>> list(sentence_ranges("Dr. Smith is in. Are you?", 0, 25, "en"))
    [(0, 17), (17, 25)]
    """
    code = language.partition("-")[0].lower()
    plain = same_length(text[start:end])  # the splitter fails on some white space of more than one byte
    place = 0
    while place < len(plain):
        sentences = _sentences(code, plain[place : place + _MOST_CHARACTERS])
        if place + _MOST_CHARACTERS < len(plain):
            sentences.pop()  # it may go on
            if not sentences:
                white = _WHITE.search(plain, place + _MOST_CHARACTERS)
                sentences = [plain[place : white.end() if white else len(plain)]]
        for sentence in sentences:
            yield start + place, start + place + len(sentence)
            place += len(sentence)


def _sentences(code: str, text: str) -> list[str]:
    """What the splitter says; a text on which it panics is one sentence."""
    try:
        sentences: list[str] = sentencex.segment(code, text)
    except BaseException as error:
        # A panic of the library's Rust is no Exception, and would end the call without an answer.
        if type(error).__name__ != "PanicException":
            raise
        return [text]
    return sentences
