"""Which file is read how, by the end of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from server.files.archive import Archive
from server.files.json_file import read_json
from server.files.office import read_docx, read_epub, read_odf, read_pptx
from server.files.plain_file import read_paragraphs, read_whole
from server.files.po_file import read_po
from server.files.subtitles import read_srt, read_vtt
from server.files.text_file import FileError, TextFile
from server.files.xliff import read_xliff

READERS: Mapping[str, Callable[[bytes], TextFile | Archive]] = {
    ".docx": read_docx,
    ".epub": read_epub,
    ".htm": read_whole("html"),
    ".html": read_whole("html"),
    ".json": read_json,
    ".md": read_whole("markdown"),
    ".odp": read_odf,
    ".ods": read_odf,
    ".odt": read_odf,
    ".po": read_po,
    ".pot": read_po,
    ".pptx": read_pptx,
    ".srt": read_srt,
    ".txt": read_paragraphs,
    ".vtt": read_vtt,
    ".xhtml": read_whole("html"),
    ".xlf": read_xliff,
    ".xliff": read_xliff,
    ".xml": read_whole("xml"),
}


def read_file(path: Path) -> TextFile | Archive:
    """A file's content and the places in it that are translated.

    Raises:
        FileError: the end of its name is unknown, or its content is not what it says.
        OSError: it cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise FileError(f"{path} ends in {path.suffix or 'nothing'!r}, known are {known}")
    try:
        return reader(path.read_bytes())
    except FileError as error:
        raise FileError(f"{path}: {error}") from error
