"""Word and PowerPoint documents, OpenDocument texts, and EPUB books."""

from __future__ import annotations

import re
from functools import partial

from server.files.archive import Archive
from server.files.plain_file import read_whole
from server.files.runs import Dialect, paragraph_places
from server.files.text_file import Place, TextFile
from server.files.xml_nodes import read_nodes

# ECMA-376, part 1, sections 17.3 and 21.1.2.
_WORD = Dialect(
    paragraph="w:p",
    run="w:r",
    style="w:rPr",
    text="w:t",
    wrappers=frozenset(("w:hyperlink", "w:ins", "w:smartTag")),
    silent=frozenset(
        f"w:{name}"
        for name in (
            "annotationRef",
            "bookmarkEnd",
            "bookmarkStart",
            "commentRangeEnd",
            "commentRangeStart",
            "commentReference",
            "endnoteRef",
            "endnoteReference",
            "footnoteRef",
            "footnoteReference",
            "lastRenderedPageBreak",
            "noBreakHyphen",
            "proofErr",
            "softHyphen",
        )
    ),
    keeps_space=True,
)
_DRAWING = Dialect(paragraph="a:p", run="a:r", style="a:rPr", text="a:t")

_WORD_MEMBERS = re.compile(r"word/(document\d*|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_SLIDE_MEMBERS = re.compile(r"ppt/(slides|notesSlides|diagrams|charts)/[^/]*\.xml")
_ODF_MEMBERS = re.compile(r"(content|styles)\.xml")
_BOOK_MEMBERS = re.compile(r".*\.(xhtml|html|htm)", re.IGNORECASE)


def read_docx(content: bytes) -> Archive:
    """A Word document: body, headers, footers, notes and comments, a place for each paragraph.

    Raises:
        FileError: it is none.
    """
    return Archive(content, _WORD_MEMBERS, partial(_runs, dialect=_WORD))


def read_pptx(content: bytes) -> Archive:
    """A PowerPoint presentation: slides, their notes, diagrams and charts.

    Raises:
        FileError: it is none.
    """
    return Archive(content, _SLIDE_MEMBERS, partial(_runs, dialect=_DRAWING))


def read_odf(content: bytes) -> Archive:
    """An OpenDocument text, presentation or spreadsheet: its paragraphs and headings.

    Raises:
        FileError: it is none.
    """
    return Archive(content, _ODF_MEMBERS, _paragraphs)


def read_epub(content: bytes) -> Archive:
    """An EPUB book: its pages, and its table of contents where that is one.

    Raises:
        FileError: it is none.
    """
    return Archive(content, _BOOK_MEMBERS, read_whole("html"))


def _runs(content: bytes, dialect: Dialect) -> TextFile:
    places = paragraph_places(content, read_nodes(content), dialect)
    return TextFile(content=content, places=tuple(places))


def _paragraphs(content: bytes) -> TextFile:
    """OpenDocument has text and styled elements side by side, as XML that the server reads."""
    places = [
        Place(
            start=node.inner_start,
            end=node.inner_end,
            text=content[node.inner_start : node.inner_end].decode(),
            written=str.encode,
            format="xml",
        )
        for node in read_nodes(content).all("text:p", "text:h")
        if node.inner_end > node.inner_start
    ]
    return TextFile(content=content, places=tuple(places))
