"""JSON: the strings that are values, not keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from server.files.text_file import FileError, Span, TextFile, decoded, file_of

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COLON = re.compile(r"[ \t\r\n]*:")


def read_json(content: bytes) -> TextFile:
    r"""The values of a JSON file (RFC 8259); others than strings are no text.

    A file that is all ASCII and escapes other characters goes on doing so.

    Raises:
        FileError: it is no JSON, or a value is no text.

    >>> read_json(b'{"a": "One.", "b": ["Two.", 3]}').filled(["Uno.", "Due."])
    b'{"a": "Uno.", "b": ["Due.", 3]}'
    """
    text = decoded(content)
    try:
        json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"it is no JSON: {error}") from error
    return file_of(text, _values(text))


def _values(text: str) -> Iterator[Span]:
    is_ascii = text.isascii() and "\\u" in text

    def written(value: str) -> str:
        return json.dumps(value, ensure_ascii=is_ascii)

    for found in _STRING.finditer(text):
        if _COLON.match(text, found.end()):
            continue
        value: str = json.loads(found.group(), strict=False)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, found.start()) + 1
            raise FileError(f"line {line}: a value holds half of a surrogate pair") from error
        yield Span(start=found.start(), end=found.end(), text=value, written=written)
