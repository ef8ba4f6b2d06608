"""Paragraphs of office files, whose text stands in runs, each with its style.

What a person reads as one text, the file has in pieces: they are joined, each style as an element around its
words, and cut again where those come to stand in the translation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from xml.parsers import expat
from xml.sax.saxutils import escape

from server.files.text_file import FileError, Place
from server.files.xml_nodes import Node

_KEEP_SPACE = b' xml:space="preserve"'


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names of elements.

    Args:
        wrappers: Around runs that are something together, such as a link.
        silent: Elements beside runs, and in runs of their own, that are no text and stay within a sentence.
        keeps_space: Whether the element of text says that white space in it counts.
    """

    paragraph: str
    run: str
    style: str
    text: str
    wrappers: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    keeps_space: bool = False


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A styled text, or something silent, whose `before` is all of it."""

    start: int
    end: int
    before: bytes
    text: str | None = None
    behind: bytes = b""
    is_wrapped: bool = False

    @property
    def style(self) -> tuple[bytes, bytes]:
        """What is written around its text."""
        return self.before, self.behind


def paragraph_places(content: bytes, document: Node, dialect: Dialect) -> Iterator[Place]:
    """The texts of all paragraphs, those within others too, in order of their places."""
    places = [
        place
        for paragraph in document.all(dialect.paragraph, within=True)
        for group in _groups(content, paragraph.children, dialect)
        if (place := _place(group)) is not None
    ]
    yield from sorted(places, key=lambda place: place.start)


def _groups(content: bytes, nodes: Sequence[Node], dialect: Dialect) -> Iterator[list[_Piece]]:
    """Pieces that make one text; whatever is neither a run nor silent stands between texts."""
    group: list[_Piece] = []
    for node in nodes:
        pieces = _pieces(content, node, dialect)
        if pieces is not None:
            group += pieces
            continue
        yield group
        group = []
        if node.name == dialect.run:
            yield from _texts_within(content, node, dialect)
        elif node.name != dialect.paragraph:
            yield from _groups(content, node.children, dialect)
    yield group


def _pieces(content: bytes, node: Node, dialect: Dialect) -> list[_Piece] | None:
    """What a node is in a sentence; None if a sentence ends at it, or within it."""
    if node.name in dialect.silent:
        return [_Piece(start=node.start, end=node.end, before=content[node.start : node.end])]
    if node.name == dialect.run:
        return _pieces_of_run(content, node, dialect)
    if node.name in dialect.wrappers and node.children:
        inner = [_pieces(content, child, dialect) for child in node.children]
        texts = [piece for pieces in inner for piece in pieces or ()]
        if None in inner or any(piece.text is None for piece in texts) or len({p.style for p in texts}) != 1:
            return None
        before = content[node.start : node.inner_start] + texts[0].before
        behind = texts[0].behind + f"</{node.name}>".encode()
        text = "".join(piece.text or "" for piece in texts)
        piece = _Piece(
            start=node.start, end=node.end, before=before, text=text, behind=behind, is_wrapped=True
        )
        return [piece]
    return None


def _pieces_of_run(content: bytes, run: Node, dialect: Dialect) -> list[_Piece] | None:
    """A piece for each thing in a run, as a run of its own in the same style."""
    opening = content[run.start : run.inner_start]
    inner = []
    for child in run.children:
        if child.name == dialect.style:
            opening += content[child.start : child.end]
        elif child.name == dialect.text or child.name in dialect.silent:
            inner.append(child)
        else:
            return None
    behind = f"</{run.name}>".encode()
    pieces: list[tuple[bytes, str | None, bytes]] = []
    for child in inner:
        if child.name == dialect.text:
            start, end = _around(content, child, dialect)
            pieces.append((opening + start, child.text, end + behind))
        else:
            pieces.append((opening + content[child.start : child.end] + behind, None, b""))
    return [
        _Piece(start=run.start, end=run.end, before=before, text=text, behind=end)
        for before, text, end in pieces
    ]


def _texts_within(content: bytes, run: Node, dialect: Dialect) -> Iterator[list[_Piece]]:
    """The texts of a run that has something else beside, such as a tab: each by itself."""
    for child in run.children:
        if child.name == dialect.text:
            before, behind = _around(content, child, dialect)
            yield [_Piece(start=child.start, end=child.end, before=before, text=child.text, behind=behind)]


def _around(content: bytes, shown: Node, dialect: Dialect) -> tuple[bytes, bytes]:
    """The tags around a text."""
    tag = content[shown.start : shown.inner_start].removesuffix(b">").removesuffix(b"/")
    if dialect.keeps_space and b"xml:space" not in tag:
        tag += _KEEP_SPACE
    return tag + b">", f"</{shown.name}>".encode()


def _place(group: Sequence[_Piece]) -> Place | None:
    """A place for pieces that stand one behind the other, if there is something to read."""
    if not any((piece.text or "").strip() for piece in group):
        return None
    is_text = [piece.text is not None for piece in group]
    first, last = is_text.index(True), len(group) - is_text[::-1].index(True)
    start, end = group[first].start, group[last - 1].end
    # Silent things at both ends are no part of the text, but some are of its runs.
    head = b"".join(piece.before for piece in group[:first] if piece.start >= start)
    tail = b"".join(piece.before for piece in group[last:] if piece.end <= end)
    pieces = _joined(group[first:last])
    if len(pieces) == 1:
        (piece,) = pieces
        return Place(
            start=start,
            end=end,
            text=piece.text or "",
            written=lambda text: head + _run(piece, text) + tail,
        )
    base = _base(pieces)
    return Place(
        start=start,
        end=end,
        text=_marked(pieces, base),
        written=lambda text: head + _cut(pieces, base, text) + tail,
        format="xml",
    )


def _base(pieces: Sequence[_Piece]) -> _Piece:
    """One of the style that most of the text has."""
    sizes: dict[tuple[bytes, bytes], int] = {}
    for piece in pieces:
        sizes[piece.style] = sizes.get(piece.style, 0) + len((piece.text or "").strip())
    # What is written around a link's text must not stand around another's.
    plain = [piece for piece in pieces if piece.text is not None and not piece.is_wrapped]
    return max(plain or pieces, key=lambda piece: sizes[piece.style])


def _joined(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Neighbours of one style as one piece."""
    joined: list[_Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.style == piece.style and last.text is not None and piece.text is not None:
            joined[-1] = replace(last, text=last.text + piece.text, end=piece.end)
        else:
            joined.append(piece)
    return joined


def _marked(pieces: Sequence[_Piece], base: _Piece) -> str:
    """Pieces as a fragment of XML; those of one style have no element: there is text beside the others."""
    parts = []
    for number, piece in enumerate(pieces):
        if piece.text is None:
            parts.append(f'<x id="{number}"/>')
        else:
            text = escape(piece.text)
            parts.append(text if piece.style == base.style else f'<g id="{number}">{text}</g>')
    return "".join(parts)


def _cut(pieces: Sequence[_Piece], base: _Piece, marked: str) -> bytes:
    """The runs of a translation that has the elements of `_marked`.

    Raises:
        FileError: it has not.
    """
    parts: list[bytes] = []
    inside = [base]
    missing = {i for i, piece in enumerate(pieces) if piece.style != base.style}

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "_":
            return
        number = int(attributes["id"])
        missing.discard(number)
        inside.append(pieces[number])
        if name == "x":
            parts.append(pieces[number].before)

    def end(name: str) -> None:
        if name != "_":
            inside.pop()

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: parts.append(_run(inside[-1], text))
    try:
        parser.Parse(f"<_>{marked}</_>".encode(), True)  # noqa: FBT003 - expat takes it by position
    except (expat.ExpatError, KeyError, ValueError, IndexError) as error:
        raise FileError(f"the translation's tags are broken: {error}") from error
    if missing:
        raise FileError(f"the translation lacks {len(missing)} of the text's styles and marks")
    return b"".join(parts)


def _run(piece: _Piece, text: str) -> bytes:
    return piece.before + escape(text).encode() + piece.behind
