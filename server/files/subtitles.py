"""Subtitles, SubRip (.srt) and WebVTT (.vtt): the text of each cue, in as many lines as before."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence

from server.files.text_file import FileError, Span, TextFile, decoded, file_of

_TIME = r"(?:\d+:)?\d+:\d+[.,]\d+"
_TIMES = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_SPEAKER = re.compile(r"\s*(?:<[^>]*>)*\s*[-–—]")  # noqa: RUF001 - each line is somebody's


def read_srt(content: bytes) -> TextFile:
    """The cues of a SubRip file.

    Raises:
        FileError: there is no cue in it.
    """
    text = decoded(content)
    if text.strip() and not any(_TIMES.match(line.group(1)) for line in _LINE.finditer(text)):
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
    return file_of(text, (span for cue in _cues(text) for span in _spans(cue)))


def _cues(text: str) -> Iterator[list[re.Match[str]]]:
    """The lines of text of each cue: those behind one of times, up to an empty one or the next cue."""
    lines = [*_LINE.finditer(text)]
    begins = [i for i, line in enumerate(lines) if _TIMES.match(line.group(1))]
    for begin, end in itertools.pairwise([*begins, len(lines)]):
        shown = [*itertools.takewhile(lambda line: line.group(1).strip(), lines[begin + 1 : end])]
        is_cut_short = end < len(lines) and begin + 1 + len(shown) == end
        if is_cut_short and shown and shown[-1].group(1).strip().isdigit():
            shown.pop()  # the number of the next one
        if shown:
            yield shown


def _spans(cue: Sequence[re.Match[str]]) -> Iterator[Span]:
    lines = [line.group(1) for line in cue]
    if len(lines) > 1 and not any(_SPEAKER.match(line) for line in lines):
        joined = " ".join(line.strip() for line in lines)
        written = _folder(len(lines), cue[0].group(2))
        yield Span(start=cue[0].start(), end=cue[-1].end(1), text=joined, written=written)
        return
    for line in cue:
        yield Span(start=line.start(), end=line.end(1), text=line.group(1), written=_on_one_line)


def _folder(num_lines: int, separator: str) -> Callable[[str], str]:
    return lambda text: separator.join(folded(text, num_lines))


def folded(text: str, num_lines: int) -> list[str]:
    """A text in so many lines at most, of lengths as even as its words allow.

    >>> folded("Il gatto dorme sul tavolo della cucina.", 2)
    ['Il gatto dorme sul', 'tavolo della cucina.']
    """
    words = _on_one_line(text)
    narrow, wide = max(1, -(-len(words) // num_lines)), max(1, len(words))
    while narrow < wide:  # the least width that does
        width = (narrow + wide) // 2
        if len(_wrapped(words, width)) > num_lines:
            narrow = width + 1
        else:
            wide = width
    return _wrapped(words, wide) or [words]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _on_one_line(text: str) -> str:
    """An empty line would end the cue."""
    return " ".join(text.split())
