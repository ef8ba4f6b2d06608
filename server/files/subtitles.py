"""Subtitles, SubRip (.srt) and WebVTT (.vtt): the text of each cue, in as many lines as before."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator

from server.files.text_file import FileError, Span, TextFile, decoded, file_of

_TIME = r"(?:\d+:)?\d+:\d+[.,]\d+"
_TIMES = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}")
_BLOCK = re.compile(r"(?:[^\r\n]+(?:\r?\n|\Z))+")
_SPEAKER = re.compile(r"\s*(?:<[^>]*>)*\s*[-–—]")  # noqa: RUF001 - each line is somebody's


def read_srt(content: bytes) -> TextFile:
    """The cues of a SubRip file.

    Raises:
        FileError: there is no cue in it.
    """
    text = decoded(content)
    if text.strip() and not _TIMES.search(text):
        raise FileError("there is no cue in it: no line has two times and --> between them")
    return _read(text)


def read_vtt(content: bytes) -> TextFile:
    r"""The cues of a WebVTT file; notes, styles and regions are none.

    Raises:
        FileError: it does not begin as WebVTT does.

    >>> vtt = read_vtt(b"WEBVTT\n\n00:01.000 --> 00:02.000 align:start\nGood\nmorning!\n")
    >>> vtt.places[0].text
    'Good morning!'
    >>> vtt.filled(["Buongiorno a tutti!"])
    b'WEBVTT\n\n00:01.000 --> 00:02.000 align:start\nBuongiorno\na tutti!\n'
    """
    text = decoded(content)
    if not text.removeprefix("\ufeff").startswith("WEBVTT"):
        raise FileError("it does not begin with WEBVTT")
    return _read(text)


def _read(text: str) -> TextFile:
    return file_of(text, (span for block in _BLOCK.finditer(text) for span in _cue(block)))


def _cue(block: re.Match[str]) -> Iterator[Span]:
    """The text of a block that has a line of times; what is before it is a number or a name."""
    times = _TIMES.search(block.group())
    if times is None:
        return
    start = block.group().find("\n", times.end()) + 1
    if start == 0:
        return
    shown = block.group()[start:].rstrip("\r\n")
    place = block.start() + start
    lines = shown.splitlines()
    if len(lines) > 1 and not any(_SPEAKER.match(line) for line in lines):
        joined = " ".join(line.strip() for line in lines)
        separator = "\r\n" if "\r\n" in shown else "\n"
        yield Span(start=place, end=place + len(shown), text=joined, written=_folder(len(lines), separator))
        return
    for line in shown.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        yield Span(start=place, end=place + len(bare), text=bare, written=_on_one_line)
        place += len(line)


def _folder(num_lines: int, separator: str) -> Callable[[str], str]:
    return lambda text: separator.join(folded(text, num_lines))


def folded(text: str, num_lines: int) -> list[str]:
    """A text in so many lines at most, of lengths as even as its words allow.

    >>> folded("Il gatto dorme sul tavolo della cucina.", 2)
    ['Il gatto dorme sul', 'tavolo della cucina.']
    """
    words = _on_one_line(text)
    width = max(1, -(-len(words) // num_lines))
    while (
        len(lines := textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)) > num_lines
    ):
        width += 1
    return lines or [words]


def _on_one_line(text: str) -> str:
    """An empty line would end the cue."""
    return " ".join(text.split())
