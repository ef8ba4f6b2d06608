"""Files that the server cuts by itself: plain text, and text with markup."""

from __future__ import annotations

from collections.abc import Callable

from server.files.text_file import Format, Place, TextFile, decoded


def read_whole(text_format: Format) -> Callable[[bytes], TextFile]:
    """How to read a file that is one text of a format."""

    def read(content: bytes) -> TextFile:
        text = decoded(content)
        start = len("\ufeff".encode()) if text.startswith("\ufeff") else 0
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
    places, start = [], 0
    for line in decoded(content).splitlines(keepends=True):
        text = line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        size = len(text.encode())
        if text.strip():
            places.append(Place(start=start, end=start + size, text=text, written=str.encode))
        start += len(line.encode())
    return TextFile(content=content, places=tuple(places))
