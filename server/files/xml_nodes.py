"""XML as elements with their places in the file, by expat, which tells where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from server.files.text_file import FileError, decoded

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(slots=True)
class Node:
    """An element: bytes [start, end) with its tags, [inner_start, inner_end) without.

    Args:
        text: Of characters directly within it, references resolved.
    """

    name: str
    attributes: dict[str, str]
    start: int
    inner_start: int = 0
    inner_end: int = 0
    end: int = 0
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, *names: str) -> Iterator[Node]:
        """The elements of some names within it, in order; those within one of them are not looked for."""
        for child in self.children:
            if child.name in names:
                yield child
            else:
                yield from child.all(*names)

    def every(self, name: str) -> Iterator[Node]:
        """The elements of a name within it, also those within each other."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.every(name)


def read_nodes(content: bytes) -> Node:
    """A document as a node that holds its root; names are as they stand there, prefixes and all.

    Raises:
        FileError: it is not well formed, or not in UTF-8.
    """
    decoded(content)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = False
    document = Node("", {}, 0, end=len(content))
    is_open, closed = [document], list[tuple[Node, str]]()

    def settle() -> None:
        """What ended with the event before ends where this one begins."""
        while closed:
            node, part = closed.pop()
            setattr(node, part, parser.CurrentByteIndex)

    def start(name: str, attributes: dict[str, str]) -> None:
        settle()
        node = Node(name, attributes, parser.CurrentByteIndex)
        is_open[-1].children.append(node)
        is_open.append(node)
        closed.append((node, "inner_start"))

    def end(_: str) -> None:
        node = is_open.pop()
        settle()
        node.inner_end = parser.CurrentByteIndex  # of <x/> it is the end of the tag, as its inner start
        closed.append((node, "end"))

    def characters(data: str) -> None:
        settle()
        is_open[-1].text += data

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.DefaultHandler = lambda _: settle()
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position
    except expat.ExpatError as error:
        raise FileError(f"it is no XML: {error}") from error
    settle()
    return document


def escaped(text: str) -> str:
    """Characters as XML has them between tags.

    >>> escaped("a < b & c")
    'a &lt; b &amp; c'
    """
    return "".join(_ENTITIES.get(character, character) for character in text)
