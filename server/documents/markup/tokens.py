"""What a reader of markup makes of a text: pieces with their places, whatever the language of the markup."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace

Range = tuple[int, int]


class Kind(enum.Enum):
    """What a token is to the text around it."""

    TEXT = enum.auto()  # characters that are read
    OPEN = enum.auto()  # begins an element within a sentence
    CLOSE = enum.auto()  # ends one
    VOID = enum.auto()  # stands within a sentence, and for no word of it
    WORD = enum.auto()  # stands for a word and must not change, as code does
    BREAK = enum.auto()  # no sentence goes on behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A value within a tag that people read.

    Args:
        start, end: Its place in the text, quotation marks excluded.
        text: What it says, references resolved.
        quote: The mark around it; empty for none, None where it is no tag's.
    """

    start: int
    end: int
    text: str
    quote: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of a text with markup.

    Args:
        start, end: Its place, in characters.
        text: Of TEXT what it says: its own characters, or those that a reference of one token stands for.
        pair: The same number in the OPEN and the CLOSE of an element.
        attributes: In order.
        is_tagged: Whether it is of a text with tags, where others have other marks.
    """

    kind: Kind
    start: int
    end: int
    text: str = ""
    pair: int = -1
    attributes: tuple[Attribute, ...] = ()
    is_tagged: bool = True


def paired(tokens: Iterable[Token]) -> list[Token]:
    """The tokens, with what opens and is never closed, or the other way round, as tags that stand alone."""
    tokens = list(tokens)
    opened = {token.pair for token in tokens if token.kind is Kind.OPEN}
    closed = {token.pair for token in tokens if token.kind is Kind.CLOSE}
    whole = opened & closed
    return [
        replace(token, kind=Kind.VOID)
        if token.kind in {Kind.OPEN, Kind.CLOSE} and token.pair not in whole
        else token
        for token in tokens
    ]


class CharacterPlaces:
    """Places in bytes of UTF-8 as places in characters.

    >>> CharacterPlaces("è qui").of(2)
    1
    """

    def __init__(self, text: str) -> None:
        self._ends: list[int] = []  # in bytes, of each character of more than one
        self._surplus = [0]  # bytes beyond one for each, before each of these and after the last
        if text.isascii():
            return
        surplus = 0
        for place, character in enumerate(text):
            if character > "\x7f":
                surplus += len(character.encode()) - 1
                self._ends.append(place + 1 + surplus)
                self._surplus.append(surplus)

    def of(self, num_bytes: int) -> int:
        """The place in characters."""
        index = bisect_left(self._ends, num_bytes + 1)
        return num_bytes - self._surplus[index]
