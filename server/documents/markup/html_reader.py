"""HTML as tokens, read as browsers read it, so that nothing is refused.

tinyhtml5 tokenizes by the standard of HTML, never fails, and tells after each token how far it has read: what
is no text comes back as it was, byte for byte. lxml, selectolax and the builders of trees tell no places;
tree-sitter loses text where a page is broken, and `html.parser` takes quadratic time for some pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from itertools import accumulate

from tinyhtml5.constants import Token as TokenType
from tinyhtml5.tokenizer import HTMLTokenizer

from server.documents.markup.elements import Elements, Tag
from server.documents.markup.tokens import Attribute, Kind, Token

READ_ATTRIBUTES = ("alt", "title", "placeholder", "aria-label")
# The standard's phrasing content; whatever else there is ends a sentence.
# fmt: off
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "img", "input", "ins", "kbd", "label", "mark", "math", "nobr", "output", "q",
    "rb", "rp", "rt", "rtc", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "svg", "time", "tt", "u", "var", "wbr",
))
_KEPT = frozenset((
    "canvas", "code", "iframe", "kbd", "math", "object", "pre", "samp", "script", "style", "svg",
    "template", "textarea", "var",
))
_EMPTY = frozenset((
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input",
    "keygen", "link", "meta", "param", "source", "track", "wbr",
))
# fmt: on
_ENDS_SAME = frozenset(("dd", "dt", "li", "option", "p", "td", "th", "tr"))
_RAW_TEXT = frozenset(("iframe", "noembed", "noframes", "style", "xmp"))
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>][^\s>]*))?""")
_MOST_ATTRIBUTES = 64
# What says at its beginning that a page is XML, where <title/> has an end of its own.
_XHTML = re.compile(r"<\?xml\b|xmlns\s*=\s*[\"']http://www\.w3\.org/1999/xhtml")
_HEAD = 4096
_TAG_NAME = re.compile(r"<[^\s/>]*")


class _Tokenizer(HTMLTokenizer):  # type: ignore[misc]
    """The library's, for tags with thousands of attributes too: it compares each with all before it."""

    def before_attribute_name_state(self) -> bool:
        """Forget the attributes so far if they are too many: the tag comes back as it was."""
        if len(self.current_token["data"]) > _MOST_ATTRIBUTES:
            self.current_token["data"] = []
        return bool(super().before_attribute_name_state())


def read_html(text: str, offset: int = 0) -> list[Token]:
    """The tokens of a page or of a part of one.

    Args:
        offset: Where in a larger text it begins.
    """
    elements = Elements()
    plain = _in_plain_lines(text)
    tokenizer = _Tokenizer(plain)
    is_xml = _XHTML.search(text, 0, _HEAD) is not None
    for token, start, end in _with_places(tokenizer, plain):
        is_empty = is_xml and bool(token.get("selfClosing"))  # in HTML the stroke means nothing
        _read(token, elements, text, start, end, offset, is_empty=is_empty)
        if not is_empty:
            _set_state(tokenizer, token)
    return elements.tokens(offset + len(text))


def _in_plain_lines(text: str) -> str:
    r"""Text of equal length whose lines end with \n alone: the tokenizer takes \r\n for one character."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def _with_places(tokenizer: HTMLTokenizer, text: str) -> Iterator[tuple[Mapping[str, object], int, int]]:
    lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    start = 0
    for token in tokenizer:
        if token["type"] is TokenType.PARSE_ERROR:
            continue
        line, column = tokenizer.stream.position()
        end = lines[line - 1] + column
        yield token, start, end
        start = end


def _read(
    token: Mapping[str, object],
    elements: Elements,
    text: str,
    start: int,
    end: int,
    offset: int,
    *,
    is_empty: bool,
) -> None:
    first, last = start + offset, end + offset
    match token["type"]:
        case TokenType.CHARACTERS | TokenType.SPACE_CHARACTERS:
            said = unescape(text[start:end])
            # A character that the standard replaces is no text for us.
            is_text = _in_plain_lines(said) == token["data"]
            elements.add(Kind.TEXT if is_text else Kind.VOID, first, last, said)
        case TokenType.START_TAG:
            elements.begin(_start_tag(token, text[start:end], first, last, is_empty=is_empty))
        case TokenType.END_TAG:
            name = str(token["name"])
            elements.end(Tag(name=name, start=first, end=last, is_inline=name in _INLINE))
        case TokenType.COMMENT:
            elements.add(Kind.VOID, first, last)
        case _:
            elements.add(Kind.BREAK, first, last)


def _start_tag(token: Mapping[str, object], raw: str, start: int, end: int, *, is_empty: bool) -> Tag:
    name, values = str(token["name"]), token["data"]
    assert isinstance(values, Mapping)
    is_kept = name in _KEPT or values.get("translate", "yes").lower() == "no"
    is_kept = is_kept or "notranslate" in values.get("class", "").split()
    return Tag(
        name=name,
        start=start,
        end=end,
        is_inline=name in _INLINE,
        is_kept=is_kept and not is_empty,
        is_empty=is_empty or name in _EMPTY,
        ends_same=name in _ENDS_SAME,
        attributes=() if is_kept else tuple(_attributes(raw, values, start)),
    )


def _attributes(raw: str, values: Mapping[str, str], start: int) -> Iterator[Attribute]:
    """Those that are read, where their place is as sure as their value."""
    if not any(name in values for name in READ_ATTRIBUTES):
        return
    name_end = _TAG_NAME.match(raw)
    for match in _ATTRIBUTE.finditer(raw, name_end.end() if name_end else 0):
        name, value = match[1].lower(), match[2] or ""
        quote = value[:1] if value[:1] in {'"', "'"} else ""
        said = unescape(value[1:-1] if quote else value)
        if name in READ_ATTRIBUTES and said.strip() and values.get(name) == _in_plain_lines(said):
            first, last = match.span(2)
            margin = len(quote)
            yield Attribute(start=start + first + margin, end=start + last - margin, text=said, quote=quote)


def _set_state(tokenizer: HTMLTokenizer, token: Mapping[str, object]) -> None:
    """What follows some tags is no markup: to say so is left to whoever reads the tokens."""
    if token["type"] is not TokenType.START_TAG:
        return
    name = token["name"]
    if name in {"title", "textarea"}:
        tokenizer.state = tokenizer.rcdata_state
    elif name in _RAW_TEXT:
        tokenizer.state = tokenizer.rawtext_state
    elif name == "script":
        tokenizer.state = tokenizer.script_data_state
    elif name == "plaintext":
        tokenizer.state = tokenizer.plaintext_state
