"""A text with markup as segments without, and what stays between them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from server.documents.document import Document, Fits, Segment, Segmentation, read_document
from server.documents.invisible import visible
from server.documents.markup.encoding import encode_attribute, encode_markdown, encode_tags
from server.documents.markup.html_reader import read_html
from server.documents.markup.markdown_reader import read_markdown
from server.documents.markup.skeleton import Skeleton
from server.documents.markup.tokens import Token
from server.documents.markup.units import Mark, MarkFinder, Unit, units_of
from server.documents.markup.xml_reader import read_xml
from server.documents.warnings import TextWarning, WarningReason


class Format(enum.Enum):
    """What a text is written in."""

    PLAIN = enum.auto()
    HTML = enum.auto()
    XML = enum.auto()
    MARKDOWN = enum.auto()


def read_marked(text: str, form: Format, language: str, segmentation: Segmentation, fits: Fits) -> Document:
    """Cut a text with markup.

    Args:
        language: Of the text, a BCP-47 tag.
        fits: Whether a model takes so long a text.

    >>> text = "<p>One <b>red</b> car. Two.</p>"
    >>> document = read_marked(text, Format.HTML, "en", Segmentation.SENTENCES, lambda text: True)
    >>> [segment.text for segment in document.segments]
    ['One red car.', 'Two.']
    """
    tokens, warnings = _tokens(text, form)
    segments: list[Segment] = []
    for unit in units_of(tokens):
        cut = read_document(unit.text, language, segmentation, fits)
        warnings += [_shifted(warning, len(segments)) for warning in cut.warnings]
        segments += _segments(unit, cut, text)
    document = Document(text=text, segments=tuple(segments), warnings=tuple(warnings))
    return document.with_segments(sorted(range(len(segments)), key=lambda i: segments[i].start))


def _tokens(text: str, form: Format) -> tuple[list[Token], list[TextWarning]]:
    if form is Format.XML:
        tokens, is_well_formed = read_xml(text)
        return tokens, [] if is_well_formed else [TextWarning(reason=WarningReason.MARKUP)]
    return (read_markdown if form is Format.MARKDOWN else read_html)(text), []


def _shifted(warning: TextWarning, num_segments: int) -> TextWarning:
    return warning if warning.segment is None else replace(warning, segment=warning.segment + num_segments)


def _segments(unit: Unit, cut: Document, text: str) -> Iterator[Segment]:
    finder = MarkFinder(unit)
    for segment in cut.segments:
        marks = finder.of(segment.start, segment.end)
        skeleton = Skeleton(
            text=segment.text,
            source=text,
            marks=tuple(_moved(marks, unit.text, segment.start)),
            encode=_encode(unit),
        )
        tokens = [mark.token for mark in marks]
        yield Segment(
            start=min([unit.starts[segment.start], *(token.start for token in tokens)]),
            end=max([unit.ends[segment.end - 1], *(token.end for token in tokens)]),
            text=segment.text,
            skeleton=skeleton,
        )


def _moved(marks: Sequence[Mark], text: str, start: int) -> Iterator[Mark]:
    """Marks, in order, with their places among the characters that a model sees from `start` on."""
    place = 0
    for mark in marks:
        place, start = place + len(visible(text[start : mark.place])), max(start, mark.place)
        yield replace(mark, place=place)


def _encode(unit: Unit) -> Callable[[str], str]:
    if not unit.is_tagged:
        return encode_markdown
    if unit.attribute is not None:
        return partial(encode_attribute, quote=unit.attribute.quote or "")
    return encode_tags
