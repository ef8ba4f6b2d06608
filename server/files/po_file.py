"""Gettext's PO: the messages that have no translation yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import polib

from server.files.text_file import FileError, Span, TextFile, decoded, file_of

_LINE = re.compile(
    r'[ \t]*(?P<keyword>msg(?:ctxt|id|id_plural|str|str\[\d+\]))[ \t]+(?P<string>".*")[ \t]*\r?$'
)
_MORE = re.compile(r'[ \t]*(?P<string>".*")[ \t]*\r?$')
_CHARSET = re.compile(r"charset=([\w-]+)", re.IGNORECASE)


@dataclass
class _Field:
    """A keyword's string: where its quotes begin and end, over all its lines."""

    keyword: str
    start: int
    end: int
    strings: list[str]

    @property
    def value(self) -> str:
        return "".join(polib.unescape(string[1:-1]) for string in self.strings)


@dataclass
class _Message:
    fields: list[_Field] = field(default_factory=list)

    def value(self, keyword: str) -> str:
        return next((f.value for f in self.fields if f.keyword == keyword), "")


def read_po(content: bytes) -> TextFile:
    r"""The messages of a PO file that have no translation; those that have one, and obsolete ones, stay.

    The first plural form gets the translation of `msgid`, all others that of `msgid_plural`.

    Raises:
        FileError: it is no PO file, or in another encoding than UTF-8.

    >>> read_po(b'msgid "Cat"\nmsgstr ""\n').filled(["Gatto"])
    b'msgid "Cat"\nmsgstr "Gatto"\n'
    """
    text = decoded(content)
    try:
        polib.pofile(text.removeprefix("\ufeff") + "\n", wrapwidth=0)  # else a path would be opened
    except (OSError, ValueError) as error:
        raise FileError(f"it is no PO file: {' '.join(str(error).split())}") from error
    messages = list(_messages(text))
    header = next((m.value("msgstr") for m in messages if not m.value("msgid")), "")
    charset = _CHARSET.search(header)
    if charset and charset.group(1).lower() not in {"utf-8", "utf8", "charset"}:
        raise FileError(f"its charset is {charset.group(1)}, must be UTF-8")
    return file_of(text, (span for message in messages for span in _spans(message)))


def _messages(text: str) -> Iterator[_Message]:
    message, start = _Message(), 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        if found := _LINE.match(bare.removeprefix("\ufeff")):
            keyword, string = found.group("keyword", "string")
            is_new = any(f.keyword.startswith("msgstr") for f in message.fields)
            if is_new and not keyword.startswith("msgstr"):
                yield message
                message = _Message()
            place = start + bare.index(string)
            message.fields.append(_Field(keyword, place, place + len(string), [string]))
        elif (found := _MORE.match(bare)) and message.fields:
            string = found.group("string")
            message.fields[-1].strings.append(string)
            message.fields[-1].end = start + bare.index(string) + len(string)
        start += len(line)
    yield message


def _spans(message: _Message) -> Iterator[Span]:
    singular, plural = message.value("msgid"), message.value("msgid_plural")
    for part in message.fields:
        if part.keyword.startswith("msgstr") and not part.value:
            is_first = part.keyword in {"msgstr", "msgstr[0]"}
            text = singular if is_first else plural
            if singular:  # the header has none
                yield Span(start=part.start, end=part.end, text=text, written=_quoted)


def _quoted(text: str) -> str:
    r"""A string as gettext writes it, a line of the text on each line.

    >>> print(_quoted("One.\nTwo."))
    ""
    "One.\n"
    "Two."
    """
    lines = text.splitlines(keepends=True) if "\n" in text.rstrip("\n") else [text]
    quoted = [f'"{polib.escape(line)}"' for line in lines]
    return "\n".join(quoted if len(quoted) == 1 else ['""', *quoted])
