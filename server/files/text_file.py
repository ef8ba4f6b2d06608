"""A file as bytes, and the places in it that hold text: all that is elsewhere stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Format = Literal["plain", "html", "xml", "markdown"]

_XML_ENCODING = r"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)"""
_DECLARED = {
    "xml": re.compile(_XML_ENCODING),
    "html": re.compile(rf"""{_XML_ENCODING}|<meta[^>]*?charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE),
}
_HEAD = 4096  # characters in which a page says what it is


class FileError(ValueError):
    """A file cannot be read as what its name says."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Bytes [start, end) of a file that hold a text; none where a translation is to be put in.

    Args:
        text: What is to be translated, without the file's escapes.
        written: The bytes of a translation, with the file's escapes.
        format: What `text` is for the server, see `TranslateOptions`.
    """

    start: int
    end: int
    text: str
    written: Callable[[str], bytes]
    format: Format = "plain"


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """A file's content and its places, in order, none within another."""

    content: bytes
    places: tuple[Place, ...]

    def where(self, number: int) -> str:
        """The line, from 1, on which a place begins."""
        line = self.content.count(b"\n", 0, self.places[number].start) + 1
        return f"line {line}"

    def filled(self, texts: Sequence[str | None]) -> bytes:
        """The content with a text in each place; None leaves a place as it is."""
        parts, end = [], 0
        for place, text in zip(self.places, texts, strict=True):
            if text is None:
                continue
            parts += [self.content[end : place.start], place.written(text)]
            end = place.end
        return b"".join((*parts, self.content[end:]))


@dataclass(frozen=True, kw_only=True)
class Span:
    """Characters [start, end) of a decoded file, and what is made of a translation there."""

    start: int
    end: int
    text: str
    written: Callable[[str], str]


def decoded(content: bytes) -> str:
    """The text of a UTF-8 file; a mark of byte order stays its first character.

    Raises:
        FileError: names the byte that is no UTF-8, or is 0, as half of UTF-16 is.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise FileError(f"it is no UTF-8: byte {error.start + 1} is 0x{byte:02x}") from error
    if "\0" in text:
        raise FileError(f"it is no text in UTF-8: byte {content.index(0) + 1} is 0")
    return text


def file_of(text: str, spans: Iterable[Span]) -> TextFile:
    """A file in UTF-8 whose places are spans of its text, in order; spans without a text are left out."""
    places, num_bytes, end = [], 0, 0
    for span in spans:
        if not span.text.strip():
            continue
        start = num_bytes + len(text[end : span.start].encode())
        num_bytes, end = start + len(text[span.start : span.end].encode()), span.end
        written = _encoded(span.written)
        places.append(Place(start=start, end=num_bytes, text=span.text, written=written))
    return TextFile(content=text.encode(), places=tuple(places))


def _encoded(written: Callable[[str], str]) -> Callable[[str], bytes]:
    return lambda text: written(text).encode()


def require_utf8(text: str, text_format: Format) -> None:
    """Refuse a page that says that it is in another encoding: its reader would not understand a translation.

    Raises:
        FileError: names the encoding.
    """
    declared = _DECLARED[text_format].search(text, 0, _HEAD) if text_format in _DECLARED else None
    encoding = declared.group(declared.lastindex or 0) if declared else "utf-8"
    if encoding.lower() not in {"utf-8", "utf8"}:
        raise FileError(f"its encoding is {encoding}, must be UTF-8")
