"""XML as tokens, by expat, which tells where it is; what is not well formed is read as HTML is.

Which elements stand within sentences no vocabulary says here: those that have text beside them do.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from xml.parsers import expat

from server.documents.markup.elements import Elements, Tag
from server.documents.markup.html_reader import read_html
from server.documents.markup.tokens import CharacterPlaces, Kind, Token

_ROOT = "<_>"  # around what has none of its own, as the fragments that translators work on


@dataclass(slots=True)
class _Event:
    """Something that expat saw: a start, an end, text, or anything else.

    Args:
        has_text: Of a start, whether there is text beside its tags, directly within its parent.
    """

    kind: str
    start: int
    name: str = ""
    text: str = ""
    is_kept: bool = False
    parent: _Event | None = None
    has_text: bool = False


def read_xml(text: str) -> tuple[list[Token], bool]:
    """The tokens of a document or of a fragment, and whether it is well formed."""
    try:
        return _read(text), True
    except expat.ExpatError:
        return read_html(text), False


def _read(text: str) -> list[Token]:
    has_root = text.lstrip("\ufeff").lstrip().startswith(("<?xml", "<!DOCTYPE"))
    prefix, suffix = ("", "") if has_root else (_ROOT, _ROOT.replace("<", "</"))
    events = _events(prefix + text + suffix)
    places, elements = CharacterPlaces(prefix + text + suffix), Elements()
    starts = [min(max(places.of(event.start) - len(prefix), 0), len(text)) for event in events]
    ends = [*starts[1:], len(text)]
    for i, (event, start, end) in enumerate(zip(events, starts, ends, strict=True)):
        is_inline = event.parent is not None and event.parent.has_text
        match event.kind:
            case _ if start == end:
                pass
            case "start":
                is_empty = events[i + 1].kind == "end" and starts[i + 1] == ends[i + 1]  # <x/>
                elements.begin(
                    Tag(
                        name=event.name,
                        start=start,
                        end=end,
                        is_inline=is_inline,
                        is_kept=event.is_kept,
                        is_empty=is_empty,
                    )
                )
            case "end":
                elements.end(Tag(name=event.name, start=start, end=end, is_inline=is_inline))
            case "text":
                elements.add(Kind.TEXT, start, end, event.text)
            case "reference":
                elements.add(Kind.WORD, start, end)
            case kind:
                elements.add(Kind.VOID if kind == "within" else Kind.BREAK, start, end)
    return elements.tokens(len(text))


def _events(text: str) -> list[_Event]:
    """What expat sees, in order.

    Raises:
        expat.ExpatError: the text is not well formed.
    """
    parser = expat.ParserCreate("utf-8")
    parser.UseForeignDTD(True)  # noqa: FBT003 - so that an entity of a file that nobody reads is no fault
    events: list[_Event] = []
    is_open: list[_Event] = []
    in_section = False

    def add(kind: str, **fields: object) -> _Event:
        event = _Event(kind, parser.CurrentByteIndex, parent=is_open[-1] if is_open else None, **fields)  # type: ignore[arg-type]
        events.append(event)
        return event

    def start(name: str, attributes: dict[str, str]) -> None:
        is_kept = any(
            key.rpartition(":")[2] == "translate" and value == "no" for key, value in attributes.items()
        )
        is_open.append(add("start", name=name, is_kept=is_kept))

    def end(name: str) -> None:
        event = is_open.pop()
        add("end", name=name).parent = event.parent

    def characters(data: str) -> None:
        if in_section:
            add("within")
        else:
            add("text", text=data)
            if data.strip() and is_open:
                is_open[-1].has_text = True

    def other(data: str) -> None:
        said = unescape(data)
        if data.startswith("&") and said != data:  # an entity of HTML
            characters(said)
        else:
            add("reference" if data.startswith("&") else "within" if is_open else "other")

    def section(*, is_open_now: bool) -> None:
        nonlocal in_section
        in_section = is_open_now
        add("within")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.CommentHandler = lambda _: add("within")
    parser.ProcessingInstructionHandler = lambda *_: add("within")
    parser.StartCdataSectionHandler = lambda: section(is_open_now=True)
    parser.EndCdataSectionHandler = lambda: section(is_open_now=False)
    parser.DefaultHandler = other
    parser.Parse(text.encode(), True)  # noqa: FBT003 - expat takes it by position
    return events
