"""XLIFF 1.2 and 2: the segments that have no target yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from server.files.text_file import FileError, Place, TextFile
from server.files.xml_nodes import Node, read_nodes

_UNITS = {"trans-unit", "segment"}
# Of XLIFF 1.2: what is in them is no text, but the code of the format that the file was made of.
_CODES = ("bpt", "ept", "ph", "it")
_CODE = "traghetto-code"
_PUT_IN = re.compile(rf'<x {_CODE}="(\d+)"\s*/>')


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
    source = unit.child(f"{prefix}source")
    if source is None or source.inner_end <= source.inner_start:
        return None
    text, codes = _without_codes(content, source, prefix)
    target = unit.child(f"{prefix}target")
    if target is None:
        place = _behind(unit, prefix, source)
        return Place(
            start=place,
            end=place,
            text=text,
            written=_within(f"{prefix}target", "", codes),
            format="xml",
        )
    if content[target.inner_start : target.inner_end].strip():
        return None
    tag = content[target.start : target.inner_start].decode().removesuffix(">").removesuffix("/").rstrip()
    attributes = tag.removeprefix(f"<{target.name}")
    written = _within(target.name, attributes, codes)
    return Place(start=target.start, end=target.end, text=text, written=written, format="xml")


def _behind(unit: Node, prefix: str, source: Node) -> int:
    """Where a target belongs: behind the source, and behind its segments where XLIFF 1.2 has them."""
    cut = unit.child(f"{prefix}seg-source")
    return max(source.end, cut.end if cut else 0)


def _without_codes(content: bytes, source: Node, prefix: str) -> tuple[str, list[str]]:
    """A source whose native codes are elements without content, and these codes, as they stand there."""
    codes: list[str] = []
    parts: list[str] = []
    place = source.inner_start
    for code in source.all(*(f"{prefix}{name}" for name in _CODES)):
        parts += [content[place : code.start].decode(), f'<x {_CODE}="{len(codes)}"/>']
        codes.append(content[code.start : code.end].decode())
        place = code.end
    return "".join((*parts, content[place : source.inner_end].decode())), codes


def _within(name: str, attributes: str, codes: Sequence[str]) -> Callable[[str], bytes]:
    def code(found: re.Match[str]) -> str:
        number = int(found.group(1))
        return codes[number] if number < len(codes) else found.group()  # one that the file has itself

    def written(text: str) -> bytes:
        inner = _PUT_IN.sub(code, text)
        return f"<{name}{attributes}>{inner}</{name}>".encode()

    return written
