"""Markdown as tokens, read as CommonMark with GitHub's tables.

pulldown-cmark, here as pyromark, gives each of its events with its place in the text; markdown-it-py and
mistletoe know the lines of blocks alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyromark

from server.documents.markup.html_reader import read_html
from server.documents.markup.tokens import Attribute, CharacterPlaces, Kind, Token, paired

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_YAML_STYLE_METADATA_BLOCKS
)
_INLINE = {"Emphasis", "Strong", "Strikethrough", "Superscript", "Subscript", "Link"}
_DEEPEST, _TOO_DEEP = 100, "TooDeep"  # what is within so many others stays as it is
_KEPT = {"CodeBlock", "MetadataBlock"}
_WORDS = {"Code", "InlineMath", "DisplayMath"}
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)[^>]*?(/?)>")
_EMPTY = {"br", "img", "wbr", "hr", "input"}


@dataclass(slots=True)
class _Event:
    """One of the parser's, with its place.

    Args:
        is_within: Whether a block of quotations or a list is around it.
        children: Of a start, what is between it and its end.
    """

    name: str
    start: int
    end: int
    data: Any = None
    is_within: bool = False
    children: list[_Event] = field(default_factory=list)


def read_markdown(text: str) -> list[Token]:
    """The tokens of a text, in order."""
    tokens: list[Token] = []
    elements = _InlineHtml()
    for event in _tree(text):
        tokens += _tokens(event, text, elements)
    return paired(tokens)


def _tree(text: str) -> list[_Event]:
    places = CharacterPlaces(text)
    root = _Event("", 0, len(text))
    is_open = [root]
    for event, place in pyromark.events_with_range(text, options=_OPTIONS):
        start, end = places.of(place["start"]), places.of(place["end"])
        kind, data = _name(event)
        if kind == "End":
            is_open.pop()
            continue
        name, data = _name(data) if kind == "Start" else (kind, data)
        is_within = is_open[-1].is_within or is_open[-1].name in {"BlockQuote", "Item"}
        new = _Event(name if len(is_open) < _DEEPEST else _TOO_DEEP, start, end, data, is_within)
        is_open[-1].children.append(new)
        if kind == "Start":
            is_open.append(new)
    return root.children


def _name(event: Any) -> tuple[str, Any]:
    return next(iter(event.items())) if isinstance(event, dict) else (event, None)


def _tokens(event: _Event, text: str, html: _InlineHtml) -> Iterator[Token]:
    start, end = event.start, event.end
    if event.name == "Text":
        yield from _text(text, start, end, str(event.data))
    elif event.name == "InlineHtml":
        yield from html.read(text, start, end)
    elif (alone := _alone(event)) is not None:
        yield alone
    elif event.name in _INLINE:
        pair, last = html.next_pair(), event.children[-1].end
        yield Token(kind=Kind.OPEN, start=start, end=_begin(text, event.children[0]), pair=pair)
        for child in event.children:
            yield from _tokens(child, text, html)
        yield Token(kind=Kind.CLOSE, start=last, end=end, pair=pair)
    else:
        yield Token(kind=Kind.BREAK, start=start, end=start)
        yield from _in_block(event, text, html)
        yield Token(kind=Kind.BREAK, start=end, end=end)


def _alone(event: _Event) -> Token | None:
    """The token of an event that is one of a sentence; None for any other."""
    start, end = event.start, event.end
    is_fixed = event.name == "Link" and event.data["link_type"] not in {"Inline", "Reference"}
    if (
        event.name in _WORDS or is_fixed or event.name == _TOO_DEEP
    ):  # a link's text may be its address, or its name elsewhere
        return Token(kind=Kind.WORD, start=start, end=end)
    if event.name == "SoftBreak":
        return Token(kind=Kind.TEXT, start=start, end=end, text=" ", is_tagged=False)
    if event.name == "Image":
        return _image(event)
    if event.name == "FootnoteReference" or (event.name in _INLINE and not event.children):
        return Token(kind=Kind.VOID, start=start, end=end)
    return None


def _in_block(event: _Event, text: str, html: _InlineHtml) -> Iterator[Token]:
    if event.name == "HtmlBlock" and not event.is_within:  # within, marks of the block stand in its lines
        yield from html.numbered(read_html(text[event.start : event.end], event.start))
    elif event.name not in {*_KEPT, "HtmlBlock"}:
        for child in event.children:
            yield from _tokens(child, text, html)


def _begin(text: str, event: _Event) -> int:
    is_escaped = event.name == "Text" and text[event.start - 1 : event.start] == "\\"
    return event.start - is_escaped


def _text(text: str, start: int, end: int, said: str) -> Iterator[Token]:
    """Text, the first character apart where a backslash is before it; of a reference the whole."""
    if text[start:end] != said:
        yield Token(kind=Kind.TEXT, start=start, end=end, text=said, is_tagged=False)
        return
    if said and text[start - 1 : start] == "\\":
        yield Token(kind=Kind.TEXT, start=start - 1, end=start + 1, text=said[0], is_tagged=False)
        start, said = start + 1, said[1:]
    if said:
        yield Token(kind=Kind.TEXT, start=start, end=end, text=said, is_tagged=False)


def _image(event: _Event) -> Token:
    """An image, whose other text is its attribute, where that is plain."""
    is_plain = [child.name for child in event.children] == ["Text"]
    attributes = tuple(
        Attribute(start=child.start, end=child.end, text=str(child.data), quote=None)
        for child in event.children
        if is_plain
    )
    return Token(kind=Kind.VOID, start=event.start, end=event.end, attributes=attributes)


class _InlineHtml:
    """Numbers of elements, and the tags of HTML that are open within Markdown's text."""

    def __init__(self) -> None:
        self._num_pairs = 0
        self._open: list[tuple[str, int]] = []

    def next_pair(self) -> int:
        """A number that no element has yet."""
        self._num_pairs += 1
        return self._num_pairs

    def numbered(self, tokens: list[Token]) -> list[Token]:
        """Tokens of another reader, whose numbers begin anew, with numbers of their own here."""
        first = self._num_pairs + 1
        self._num_pairs += len(tokens) + 1
        return [_shifted(token, first) for token in tokens]

    def read(self, text: str, start: int, end: int) -> Iterator[Token]:
        """A tag or a comment."""
        tag = _TAG.fullmatch(text, start, end)
        if tag is None or tag[3] or tag[2].lower() in _EMPTY:
            is_break = tag is not None and tag[2].lower() == "br"
            yield Token(kind=Kind.BREAK if is_break else Kind.VOID, start=start, end=end)
        elif not tag[1]:
            self._open.append((tag[2].lower(), self.next_pair()))
            yield Token(kind=Kind.OPEN, start=start, end=end, pair=self._num_pairs)
        else:
            pair = self._close(tag[2].lower())
            yield Token(kind=Kind.CLOSE, start=start, end=end, pair=pair)

    def _close(self, name: str) -> int:
        while self._open:
            other, pair = self._open.pop()
            if other == name:
                return pair
        return self.next_pair()


def _shifted(token: Token, first: int) -> Token:
    return replace(token, pair=token.pair + first) if token.pair >= 0 else token
