"""A sentence without its tags, and its translation with them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from server.documents.markup.placement import Placed, place_in_order, place_marks, tree_of
from server.documents.markup.tokens import Kind, Range, Token
from server.documents.markup.units import Mark
from server.documents.markup.words import Weights, alignment, is_mark, word_ranges

_MOST_MARKS = 200  # of a sentence: each may be within the one before


@dataclass(slots=True)
class Filled:
    """A translation with the tags of its source.

    Args:
        inner: Where segments within it are, by where they begin in the source.
        moved: What must not change, and that the model gave no place or more than one.
    """

    text: str = ""
    inner: dict[int, Range] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Go on with a text."""
        self.text += text


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """What is kept of a sentence while it is translated.

    Args:
        text: What the model is given.
        source: The text with markup that it is of.
        marks: In order; places are in `text`.
        encode: From plain text to text with markup.
    """

    text: str
    source: str
    marks: tuple[Mark, ...]
    encode: Callable[[str], str]

    @property
    def stand_ins(self) -> dict[str, str]:
        """What stands in the text for code and the like, and that itself."""
        return {
            mark.stand_in: self.source[mark.token.start : mark.token.end]
            for mark in self.marks
            if mark.stand_in
        }

    def filled(self, target: str, weights: Weights | None, inner: Mapping[Range, str]) -> Filled:
        """A translation with the tags at the words that they belong to.

        Args:
            weights: (T, S), how much each target word looks at each source word, as `word_ranges` counts
                them; None where no model tells.
            inner: What is to be written for segments within this one and others, by their places in the
                source, in order.
        """
        if not self.marks:
            return Filled(self.encode(target))
        sources, targets = word_ranges(self.text), word_ranges(target)
        owners = alignment(_cut_out(self.text, sources), _cut_out(target, targets), weights)
        pieces = _Pieces(self.text, sources, sorted({mark.place for mark in self.marks}))
        places, owners = pieces.split(target, targets, owners)
        missing = {mark.stand_in for mark in self.marks if mark.stand_in and mark.stand_in not in target}
        marks = [mark for mark in self.marks if not mark.stand_in or mark.stand_in in missing]
        if len(marks) <= _MOST_MARKS:
            items = place_marks(tree_of(marks, pieces.starts), owners)
        else:
            items = place_in_order(marks, pieces.starts, len(places))
        writer = _Writer(self, target, places, inner)
        for item in items:
            writer.put(item)
        return writer.end()


class _Pieces:
    """Source words, those with a tag within them in the pieces that it makes."""

    def __init__(self, text: str, words: Sequence[Range], cuts: Sequence[int]) -> None:
        self.starts: list[int] = []
        self._first: list[int] = []  # piece of each word
        self._cut_words: dict[str, tuple[int, list[int]]] = {}
        for start, end in words:
            inner = [cut - start for cut in cuts if start < cut < end]
            if inner:
                self._cut_words[text[start:end]] = (len(self._first), inner)
            self._first.append(len(self.starts))
            self.starts += [start, *(start + cut for cut in inner)]

    def split(
        self, target: str, words: Sequence[Range], owners: Sequence[int | None]
    ) -> tuple[list[Range], list[int | None]]:
        """Target words, and the source piece of each; one that is such a source word is cut as that is."""
        ranges: list[Range] = []
        pieces: list[int | None] = []
        for (start, end), owner in zip(words, owners, strict=True):
            number, inner = self._cut_words.get(target[start:end], (-1, []))
            places = [start, *(start + cut for cut in inner if number == owner), end]
            ranges += pairwise(places)
            first = None if owner is None else self._first[owner]
            pieces += [None if first is None else first + i for i in range(len(places) - 1)]
        return ranges, pieces


class _Writer:
    """Writes a translation with tags, in order."""

    def __init__(
        self, skeleton: Skeleton, target: str, words: Sequence[Range], inner: Mapping[Range, str]
    ) -> None:
        self._skeleton, self._target, self._words = skeleton, target, words
        self._inner, self._inner_places, self._place = inner, list(inner), 0
        self._filled, self._known = Filled(), skeleton.stand_ins
        self._stand_ins = {
            mark.stand_in: mark.token for mark in skeleton.marks if mark.stand_in and mark.stand_in in target
        }

    def put(self, item: Placed) -> None:
        """A mark at its place."""
        token, source = item.mark.token, self._skeleton.source
        before = source[token.start - 1 : token.start].isspace()
        behind = item.end is not None and source[item.end : item.end + 1].isspace()
        is_word = token.kind is Kind.WORD
        is_apart = is_word or (before and behind)
        is_behind = item.is_behind and (is_word or item.end is None or not before or behind)
        place = self._whole(item.place) if is_word else item.place
        self._write_to(self._end_of(place) if is_behind else self._start_of(place))
        if is_apart and self._place:
            self._filled.add(" ")
        self._write_token(token)
        if is_apart and not self._place:
            self._filled.add(" ")
        if is_word:
            self._filled.moved.append(source[token.start : token.end])

    def end(self) -> Filled:
        """All of it, the rest of the target included."""
        self._write_to(len(self._target))
        return self._filled

    def _whole(self, place: int) -> int:
        """A place between words, or behind all that stands together around it, as both words of l'anno."""
        words = self._words
        last = place
        while 0 < last < len(words) and words[last][0] == words[last - 1][1]:
            last += 1
            if not is_mark(self._target[slice(*words[last - 1])]):
                place = last
        return place

    def _start_of(self, word: int) -> int:
        return self._words[word][0] if word < len(self._words) else len(self._target)

    def _end_of(self, word: int) -> int:
        return self._words[word - 1][1] if word else 0

    def _write_to(self, place: int) -> None:
        """The target up to there, each thing in the place of what stands for it."""
        if place <= self._place:
            return
        text, self._place = self._target[self._place : place], place
        for part, token in self._parts(text):
            if part:
                self._filled.add(self._skeleton.encode(part))
            if token is not None:
                self._write_token(token)

    def _parts(self, text: str) -> Iterator[tuple[str, Token | None]]:
        """Text and what stands behind it; a second time nothing stands there, and that is told."""
        place = 0
        for start, end in word_ranges(text):
            stand_in = text[start:end]
            if stand_in in self._known:
                token = self._stand_ins.pop(stand_in, None)
                if token is None:
                    self._filled.moved.append(self._known[stand_in])
                yield text[place:start], token
                place = end
        yield text[place:], None

    def _write_token(self, token: Token) -> None:
        source, place = self._skeleton.source, token.start
        for start, end in self._inner_of(token):
            self._filled.add(source[place:start])
            first = len(self._filled.text)
            self._filled.add(self._inner[start, end])
            self._filled.inner[start] = (first, len(self._filled.text))
            place = end
        self._filled.add(source[place : token.end])

    def _inner_of(self, token: Token) -> Iterator[Range]:
        places = self._inner_places
        number = bisect_left(places, (token.start,)) if token.attributes else len(places)
        while number < len(places) and places[number][0] < token.end:
            yield places[number]
            number += 1


def _cut_out(text: str, ranges: Sequence[Range]) -> list[str]:
    return [text[start:end] for start, end in ranges]
