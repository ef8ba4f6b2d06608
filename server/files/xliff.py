"""XLIFF 1.2 and 2: the segments that have no target yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from server.files.text_file import FileError, Place, TextFile
from server.files.xml_nodes import Node, read_nodes

_UNITS = {"trans-unit", "segment"}


def read_xliff(content: bytes) -> TextFile:
    """The sources of an XLIFF file whose unit has no target, or an empty one; `translate="no"` is minded.

    Raises:
        FileError: it is none.

    >>> file = read_xliff(b"<xliff><trans-unit><source>One.</source></trans-unit></xliff>")
    >>> file.filled(["Uno."])
    b'<xliff><trans-unit><source>One.</source><target>Uno.</target></trans-unit></xliff>'
    """
    document = read_nodes(content)
    root = next(iter(document.children), None)
    if root is None or root.name.rpartition(":")[2] != "xliff":
        raise FileError(f"its root is <{root.name if root else ''}>, must be <xliff>")
    return TextFile(content=content, places=tuple(_places(content, document)))


def _places(content: bytes, node: Node) -> Iterator[Place]:
    for child in node.children:
        if child.attributes.get("translate") == "no":
            continue
        prefix, _, name = child.name.rpartition(":")
        if name in _UNITS:
            place = _place(content, child, f"{prefix}:" if prefix else "")
            if place is not None:
                yield place
        else:
            yield from _places(content, child)


def _place(content: bytes, unit: Node, prefix: str) -> Place | None:
    source = next((child for child in unit.children if child.name == f"{prefix}source"), None)
    if source is None or source.inner_end <= source.inner_start:
        return None
    text = content[source.inner_start : source.inner_end].decode()
    target = next((child for child in unit.children if child.name == f"{prefix}target"), None)
    if target is None:
        return Place(
            start=source.end, end=source.end, text=text, written=_within(f"{prefix}target", ""), format="xml"
        )
    if content[target.inner_start : target.inner_end].strip():
        return None
    tag = content[target.start : target.inner_start].decode().removesuffix(">").removesuffix("/").rstrip()
    attributes = tag.removeprefix(f"<{target.name}")
    written = _within(target.name, attributes)
    return Place(start=target.start, end=target.end, text=text, written=written, format="xml")


def _within(name: str, attributes: str) -> Callable[[str], bytes]:
    return lambda text: f"<{name}{attributes}>{text}</{name}>".encode()
