"""Plain text as it is written in a text with markup."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_REFERENCES = {'"': "&quot;", ">": "&gt;"}
_INLINE_MARKDOWN = re.compile(
    r"""
      \\(?=[!-/:-@\[-`{-~]) | [*`\[\]]
    | (?<!\w)_ | _(?!\w)                   # within a word it marks nothing
    | <(?=[A-Za-z/!?]) | &(?=\#?\w+;) | ~(?=~) | (?<=~)~ | \|
    """,
    re.VERBOSE,
)
_START_OF_BLOCK = re.compile(r"(?:\#{1,6}|[-+])(?=\s|$)|[>=~]|(?<=\d)[.)](?=\s|$)")


def encode_tags(text: str) -> str:
    """Text between the tags of HTML or XML.

    >>> encode_tags("R & D < 4")
    'R &amp; D &lt; 4'
    """
    return escape(text)


def encode_markdown(text: str) -> str:
    r"""Text of Markdown; what would be markup gets a backslash.

    >>> encode_markdown("a * b, snake_case [1]"), encode_markdown("1. One")
    ('a \\* b, snake_case \\[1\\]', '1\\. One')
    """
    escaped = _INLINE_MARKDOWN.sub(r"\\\g<0>", text)
    number = re.match(r"\d*", escaped)
    start = _START_OF_BLOCK.match(escaped, number.end() if number else 0)
    return f"{escaped[: start.start()]}\\{escaped[start.start() :]}" if start else escaped


def encode_attribute(text: str, quote: str) -> str:
    """The value of an attribute of HTML, or a part of it, within its quotation marks or without any.

    >>> encode_attribute('"Yes" & no', '"'), encode_attribute("Il gatto", "")
    ('&quot;Yes&quot; &amp; no', 'Il&#32;gatto')
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    special = quote or " \t\n\r\f\"'=>`"
    return "".join(_REFERENCES.get(c, f"&#{ord(c)};") if c in special else c for c in text)
