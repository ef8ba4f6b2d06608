"""Which elements are open while a text with tags is read, and what of it is not to be translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from server.documents.markup.tokens import Attribute, Kind, Token, paired

_DEEPEST = 512  # as in browsers: an element that is deeper within others is not looked for


@dataclass(slots=True)
class _Element:
    name: str
    is_inline: bool
    pair: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag as its reader sees it.

    Args:
        start, end: Its place.
        is_inline: Whether a sentence goes on behind it.
        is_kept: Whether nothing in its element is to be translated.
        is_empty: Whether it has no content.
        ends_same: Whether it ends an element of the same name that is still open, as a further <p> does.
    """

    name: str
    start: int
    end: int
    is_inline: bool
    is_kept: bool = False
    is_empty: bool = False
    ends_same: bool = False
    attributes: tuple[Attribute, ...] = ()


class Elements:
    """Makes tokens of tags, comments and text; what is broken stays where it is.

    An end tag ends the elements that are open within its own. One of an element within sentences does not
    reach beyond the block that it stands in, as in a browser.
    """

    def __init__(self) -> None:
        self._open: list[_Element] = []
        self._tokens: list[Token] = []
        self._num_pairs = 0
        self._kept: tuple[int, int, bool] | None = None  # depth, start, whether it is within a sentence

    def begin(self, tag: Tag) -> None:
        """A start tag."""
        if tag.ends_same and self._open and self._open[-1].name == tag.name:
            self._end_to(len(self._open) - 1, tag.start)
        self._num_pairs += 1
        if tag.is_empty:
            self._add(Kind.VOID if tag.is_inline else Kind.BREAK, tag)
            return
        if self._kept is None and tag.is_kept:
            self._kept = (len(self._open), tag.start, tag.is_inline)
        else:
            self._add(Kind.OPEN if tag.is_inline else Kind.BREAK, tag)
        self._open.append(_Element(tag.name, tag.is_inline, self._num_pairs))

    def end(self, tag: Tag) -> None:
        """An end tag."""
        depth = self._depth_of(tag)
        if depth is None:
            self._num_pairs += 1
            self._add(Kind.VOID if tag.is_inline else Kind.BREAK, tag)
            return
        pair, is_kept = self._open[depth].pair, self._kept is not None and self._kept[0] == depth
        self._end_to(depth, tag.end if is_kept else tag.start)
        if not is_kept:
            self._add(Kind.CLOSE if tag.is_inline else Kind.BREAK, tag, pair)

    def add(self, kind: Kind, start: int, end: int, text: str = "") -> None:
        """Text, or what stands alone."""
        if self._kept is None:
            self._tokens.append(Token(kind=kind, start=start, end=end, text=text))

    def tokens(self, end: int) -> list[Token]:
        """All of them, once the text has ended."""
        self._end_to(0, end)
        return paired(self._tokens)

    def _add(self, kind: Kind, tag: Tag, pair: int | None = None) -> None:
        if self._kept is None:
            number = self._num_pairs if pair is None else pair
            self._tokens.append(
                Token(kind=kind, start=tag.start, end=tag.end, pair=number, attributes=tag.attributes)
            )

    def _depth_of(self, tag: Tag) -> int | None:
        for depth, element in islice(self._from_innermost(), _DEEPEST):
            if element.name == tag.name:
                return depth
            if tag.is_inline and not element.is_inline:
                return None
        return None

    def _from_innermost(self) -> Iterator[tuple[int, _Element]]:
        return zip(range(len(self._open) - 1, -1, -1), reversed(self._open), strict=True)

    def _end_to(self, depth: int, place: int) -> None:
        """End all elements from a depth on; `place` is where what must not change ends, if that ends."""
        del self._open[depth:]
        if self._kept is not None and self._kept[0] >= depth:
            _, start, is_inline = self._kept
            self._kept = None
            self.add(Kind.WORD if is_inline else Kind.BREAK, start, place)
