"""Files that the server cuts by itself: plain text, and text with markup."""

from __future__ import annotations

import re
from collections.abc import Callable

from server.files.text_file import FileError, Format, Place, TextFile, decoded

_XML_ENCODING = r"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)"""
_DECLARED = {
    "xml": re.compile(_XML_ENCODING),
    "html": re.compile(rf"""{_XML_ENCODING}|<meta[^>]*?charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE),
}


def read_whole(text_format: Format) -> Callable[[bytes], TextFile]:
    """How to read a file that is one text of a format."""

    def read(content: bytes) -> TextFile:
        text = decoded(content)
        start = len("\ufeff".encode()) if text.startswith("\ufeff") else 0
        _require_utf8(text, text_format)
        place = Place(
            start=start,
            end=len(content),
            text=text[1:] if start else text,
            written=str.encode,
            format=text_format,
        )
        return TextFile(content=content, places=(place,))

    return read


def _require_utf8(text: str, text_format: Format) -> None:
    """Refuse a page that says that it is in another encoding: its reader would not understand a translation.

    Raises:
        FileError: names the encoding.
    """
    declared = _DECLARED[text_format].search(text, 0, 4096) if text_format in _DECLARED else None
    if declared and declared.group(declared.lastindex or 1).lower() not in {"utf-8", "utf8"}:
        raise FileError(f"its encoding is {declared.group(declared.lastindex or 1)}, must be UTF-8")


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
