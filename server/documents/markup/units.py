"""Tokens of markup as units of text: what is read together, its tags, and the place of each character."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from server.documents.markup.tokens import Attribute, Kind, Token

_STAND_IN = re.compile(r"\{\d+\}")
_WHITE = " \t\n\r\f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A tag, or something else that a model does not see, in a unit.

    Args:
        place: The character of the unit that it stands before.
        stand_in: Of a WORD, what the unit has in its place; empty for any other.
    """

    token: Token
    place: int
    stand_in: str = ""


@dataclass(slots=True)
class Unit:
    """Text without markup, white space in runs of one.

    Args:
        starts, ends: Where each of its characters begins and ends in the text with markup.
        is_tagged: Whether it is written as text between tags.
        attribute: The one that it is the value of; None for text.
    """

    text: str = ""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    is_tagged: bool = True
    attribute: Attribute | None = None


def units_of(tokens: Sequence[Token]) -> Iterator[Unit]:
    """The units of a text that have something to read, in order of their beginnings."""
    builder = _Builder("".join(token.text for token in tokens if token.kind is Kind.TEXT))
    units: list[Unit] = []
    for token in tokens:
        units += map(_attribute_unit, token.attributes)
        if token.kind is Kind.BREAK:
            units += builder.take()
        else:
            builder.add(token)
    units += builder.take()
    yield from sorted(units, key=lambda unit: unit.starts[0])


class MarkFinder:
    """Finds which marks of a unit belong into each of its segments, which are asked for in order.

    Those within a segment do. A tag at its start or end does only if the other one of its element is within:
    what is around all of a segment stays around it.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._places = [mark.place for mark in unit.marks]
        self._others = _others(unit.marks)
        self._num_used = 0

    def of(self, start: int, end: int) -> list[Mark]:
        """The marks of a segment."""
        marks, places = self._unit.marks, self._places
        first = bisect_left(places, start, self._num_used)
        last = max(bisect_left(places, end, self._num_used), first)
        while first < last and places[first] == start and not self._is_needed(first, end):
            first += 1
        for i in range(last, len(marks)):
            if self._unit.text[end : places[i]].strip():
                break
            if marks[i].token.kind is Kind.CLOSE and first <= self._others.get(i, -1) < last:
                last = i + 1
        self._num_used = last
        return marks[first:last]

    def _is_needed(self, index: int, end: int) -> bool:
        """Whether a mark at a segment's start stands for a word, or begins what ends within the segment."""
        mark, other = self._unit.marks[index], self._others.get(index)
        begins = mark.token.kind is Kind.OPEN and other is not None and self._places[other] < end
        return begins or bool(mark.stand_in)


def _others(marks: Sequence[Mark]) -> dict[int, int]:
    """The two tags of each element that is whole in a unit, by their indices."""
    begins = {mark.token.pair: i for i, mark in enumerate(marks) if mark.token.kind is Kind.OPEN}
    others: dict[int, int] = {}
    for i, mark in enumerate(marks):
        if mark.token.kind is Kind.CLOSE and mark.token.pair in begins:
            begin = begins[mark.token.pair]
            others[i], others[begin] = begin, i
    return others


class _Builder:
    """The unit that is read at the moment."""

    def __init__(self, text: str) -> None:
        self._taken, self._number = frozenset(_STAND_IN.findall(text)), 0
        stand_ins = (f"{{{number}}}" for number in itertools.count())
        self._free = (stand_in for stand_in in stand_ins if stand_in not in self._taken)
        self._known: list[str] = []  # of those that are free the first ones
        self._unit, self._characters = Unit(), list[str]()

    def add(self, token: Token) -> None:
        """Text or a mark of the unit."""
        if token.kind is Kind.TEXT:
            self._unit.is_tagged &= token.is_tagged
            is_plain = len(token.text) == token.end - token.start
            for i, character in enumerate(token.text):
                start = token.start + i if is_plain else token.start
                self._add(character, start, start + 1 if is_plain else token.end)
        elif token.kind is Kind.WORD:
            stand_in = self._stand_in()
            self._unit.marks.append(Mark(token=token, place=len(self._characters), stand_in=stand_in))
            for character in stand_in:
                self._add(character, token.start, token.end)
        else:
            self._unit.marks.append(Mark(token=token, place=len(self._characters)))

    def take(self) -> list[Unit]:
        """The unit as it is, if there is anything in it, and a new one."""
        unit, self._unit, self._number = self._unit, Unit(), 0
        unit.text = "".join(self._characters)
        self._characters.clear()
        return [unit] if unit.text.strip() else []

    def _add(self, character: str, start: int, end: int) -> None:
        if character in _WHITE:
            if not self._characters or self._characters[-1] == " ":
                return
            character = " "
        self._characters.append(character)
        self._unit.starts.append(start)
        self._unit.ends.append(end)

    def _stand_in(self) -> str:
        """A placeholder as programs have them, which models are trained to carry over."""
        if self._number == len(self._known):
            self._known.append(next(self._free))
        self._number += 1
        return self._known[self._number - 1]


def _attribute_unit(attribute: Attribute) -> Unit:
    start, end, text = attribute.start, attribute.end, attribute.text
    is_plain = len(text) == end - start
    starts = list(range(start, end)) if is_plain else [start] * len(text)
    ends = [place + 1 for place in starts] if is_plain else [end] * len(text)
    return Unit(
        text=text, starts=starts, ends=ends, is_tagged=attribute.quote is not None, attribute=attribute
    )
