"""XML as elements with their places in the file, by expat, which tells where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from server.files.text_file import FileError, decoded, require_utf8

# What a program of a few hundred MB can hold: a long novel has a tenth of it.
_MAX_TAGS = 4_000_000
_MAX_DEPTH = 250  # readers go down by calls


@dataclass(slots=True)
class Node:
    """An element: bytes [start, end) with its tags, [inner_start, inner_end) without.

    Args:
        parts: Of its text.
    """

    name: str
    attributes: dict[str, str]
    start: int
    inner_start: int = 0
    inner_end: int = 0
    end: int = 0
    parts: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The characters directly within it, references resolved."""
        return "".join(self.parts)

    def child(self, name: str) -> Node | None:
        """The first element of a name directly within it."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, *names: str, within: bool = False) -> Iterator[Node]:
        """The elements of some names within it, in order; `within` also those within each other."""
        stack = [*reversed(self.children)]
        while stack:
            node = stack.pop()
            if node.name in names:
                yield node
            if within or node.name not in names:
                stack += reversed(node.children)


def read_nodes(content: bytes) -> Node:
    """A document as a node that holds its root; names are as they stand there, prefixes and all.

    Raises:
        FileError: it is not well formed, or not in UTF-8; it has entities of its own, more tags than a
            program should hold, or too many elements within each other.
    """
    if content.count(b"<") > _MAX_TAGS:
        raise FileError(f"it has more than {_MAX_TAGS:,} tags")
    require_utf8(decoded(content), "xml")
    return _Reader(len(content)).read(content)


class _Reader:
    """Builds nodes of what expat sees; what ended with one event ends where the next begins."""

    def __init__(self, num_bytes: int) -> None:
        self._document = Node("", {}, 0, end=num_bytes)
        self._open = [self._document]
        self._unsettled: list[tuple[Node, str]] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.CharacterDataHandler, self._parser.DefaultHandler = self._characters, self._other

    def read(self, content: bytes) -> Node:
        try:
            self._parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position
        except expat.ExpatError as error:
            raise FileError(f"it is no XML: {error}") from error
        self._settle()
        return self._document

    def _settle(self) -> None:
        for node, part in self._unsettled:
            setattr(node, part, self._parser.CurrentByteIndex)
        self._unsettled.clear()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._settle()
        if len(self._open) > _MAX_DEPTH:
            raise FileError(f"it has more than {_MAX_DEPTH} elements within each other")
        node = Node(name, attributes, self._parser.CurrentByteIndex)
        self._open[-1].children.append(node)
        self._open.append(node)
        self._unsettled.append((node, "inner_start"))

    def _end(self, _: str) -> None:
        self._settle()
        node = self._open.pop()
        node.inner_end = self._parser.CurrentByteIndex  # of <x/> it is the end of the tag, as its inner start
        self._unsettled.append((node, "end"))

    def _characters(self, data: str) -> None:
        self._settle()
        self._open[-1].parts.append(data)

    def _other(self, data: str) -> None:
        self._settle()
        if data.startswith("&"):
            raise FileError(f"it has the entity {data}, which is not read")
