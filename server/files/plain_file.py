"""Files that the server cuts by itself: plain text, and text with markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from server.files.text_file import Format, Place, Span, TextFile, decoded, file_of, require_utf8

_LINE_ENDS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def read_whole(text_format: Format) -> Callable[[bytes], TextFile]:
    """How to read a file that is one text of a format."""

    def read(content: bytes) -> TextFile:
        text = decoded(content)
        start = len("\ufeff".encode()) if text.startswith("\ufeff") else 0
        require_utf8(text, text_format)
        place = Place(
            start=start,
            end=len(content),
            text=text[1:] if start else text,
            written=str.encode,
            format=text_format,
        )
        return TextFile(content=content, places=(place,))

    return read


def read_paragraphs(content: bytes) -> TextFile:
    r"""A plain text, a place for each line, so that a book is many small calls.

    >>> read_paragraphs(b"One.\n\nTwo. Three.\n").filled(["Uno.", "Due. Tre."])
    b'Uno.\n\nDue. Tre.\n'
    """
    text = decoded(content)
    return file_of(text, _lines(text))


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip(_LINE_ENDS)
        yield Span(start=start, end=start + len(bare), text=bare, written=str)
        start += len(line)
