"""Paragraphs of office files, whose text stands in runs, each with its style.

What a person reads as one text, the file has in pieces: they are joined, each style as an element around its
words, and cut again where those come to stand in the translation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from xml.parsers import expat

from server.files.text_file import FileError, Place
from server.files.xml_nodes import Node, escaped

_KEEP_SPACE = b' xml:space="preserve"'


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names of elements.

    Args:
        link: Around runs that lead elsewhere; empty if there is none.
        silent: Elements beside runs, and in runs of their own, that are no text and stay within a sentence.
        keeps_space: Whether the element of text says that white space in it counts.
    """

    paragraph: str
    run: str
    style: str
    text: str
    link: str = ""
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

    @property
    def style(self) -> tuple[bytes, bytes]:
        """What is written around its text."""
        return self.before, self.behind


def paragraph_places(content: bytes, document: Node, dialect: Dialect) -> Iterator[Place]:
    """The texts of all paragraphs, those within others too, in order of their places."""
    places = [
        place
        for paragraph in document.every(dialect.paragraph)
        for group in _groups(content, paragraph.children, dialect)
        if (place := _place(group)) is not None
    ]
    yield from sorted(places, key=lambda place: place.start)


def _groups(content: bytes, nodes: Sequence[Node], dialect: Dialect) -> Iterator[list[_Piece]]:
    """Pieces that make one text; whatever is neither a run nor silent stands between texts."""
    group: list[_Piece] = []
    for node in nodes:
        piece = _piece(content, node, dialect)
        if piece is not None:
            group.append(piece)
            continue
        yield group
        group = []
        if node.name not in {dialect.paragraph, dialect.run}:
            yield from _groups(content, node.children, dialect)
    yield group


def _piece(content: bytes, node: Node, dialect: Dialect) -> _Piece | None:
    inner = [child for child in node.children if child.name != dialect.style]
    is_silent = node.name in dialect.silent
    if node.name == dialect.run and inner and all(child.name in dialect.silent for child in inner):
        is_silent = True
    if is_silent:
        return _Piece(start=node.start, end=node.end, before=content[node.start : node.end])
    if node.name == dialect.run and inner and all(child.name == dialect.text for child in inner):
        text = "".join(child.text for child in inner)
        return _styled(content, node, node, inner[0], text, dialect)
    if dialect.link and node.name == dialect.link and node.children:
        runs = [_piece(content, child, dialect) for child in node.children]
        if all(run is not None and run.text is not None for run in runs):
            text = "".join(run.text or "" for run in runs if run)
            first = node.children[0]
            (shown, *_) = first.all(dialect.text)
            return _styled(content, node, first, shown, text, dialect)
    return None


def _styled(content: bytes, node: Node, run: Node, shown: Node, text: str, dialect: Dialect) -> _Piece:
    """A text in the style of a run, within all that is around it in a node."""
    before = content[node.start : shown.inner_start]
    if dialect.keeps_space and b"xml:space" not in content[shown.start : shown.inner_start]:
        before = before.removesuffix(b">") + _KEEP_SPACE + b">"
    behind = "".join(f"</{name}>" for name in (shown.name, run.name, node.name)[: 2 if node is run else 3])
    return _Piece(start=node.start, end=node.end, before=before, text=text, behind=behind.encode())


def _place(group: Sequence[_Piece]) -> Place | None:
    """A place for pieces that stand one behind the other, if there is something to read."""
    is_text = [piece.text is not None for piece in group]
    if not any((piece.text or "").strip() for piece in group):
        return None
    first, last = is_text.index(True), len(group) - is_text[::-1].index(True)
    pieces = _joined(group[first:last])
    start, end = group[first].start, group[last - 1].end
    if len(pieces) == 1:
        (piece,) = pieces
        return Place(start=start, end=end, text=piece.text or "", written=lambda text: _run(piece, text))
    base = _base(pieces)
    return Place(
        start=start,
        end=end,
        text=_marked(pieces, base),
        written=lambda text: _cut(pieces, base, text),
        format="xml",
    )


def _base(pieces: Sequence[_Piece]) -> _Piece:
    """One of the style that most of the text has."""
    sizes: dict[tuple[bytes, bytes], int] = {}
    for piece in pieces:
        sizes[piece.style] = sizes.get(piece.style, 0) + len((piece.text or "").strip())
    return max(pieces, key=lambda piece: sizes[piece.style])


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
            text = escaped(piece.text)
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
    return piece.before + escaped(text).encode() + piece.behind
