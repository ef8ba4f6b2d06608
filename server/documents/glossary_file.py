"""Glossaries in files of tab-separated values, and what is wrong with them, line by line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from server.documents.glossary import Glossary, Term, term_faults

MAX_FILE_TERMS = 100_000
_MATCH_CASE = "case"
_MAX_TOLD = 8  # faults of a file
_MAX_QUOTED = 64  # characters of a line


class GlossaryError(ValueError):
    """A glossary's file, or the names of several, that cannot be read; names the line and what is wrong."""


def parse_glossary_files(text: str) -> dict[str, Path]:
    """The files of glossaries by their names, as an operator writes them.

    >>> parse_glossary_files("legal=/etc/legal.tsv, it=it.tsv")
    {'legal': PosixPath('/etc/legal.tsv'), 'it': PosixPath('it.tsv')}

    Raises:
        GlossaryError: a part is no NAME=FILE, or a name is there twice.
    """
    files: dict[str, Path] = {}
    for part in text.split(","):
        name, _, file = (word.strip() for word in part.partition("="))
        if not (name and file):
            raise GlossaryError(f"{part.strip()!r} is no NAME=FILE")
        if name in files:
            raise GlossaryError(f"{name!r} is there twice")
        files[name] = Path(file)
    return files


def read_glossary(file: Path) -> Glossary:
    """The glossary in a file, as `read_terms` reads it."""
    content = _content(file)
    return Glossary(_terms(file, content), sha256=hashlib.sha256(content).hexdigest())


def read_terms(file: Path) -> list[Term]:
    """The terms in a file, UTF-8: on each line a source, a target, and "case" where that counts.

    Between them are tabs. A line without a target, or with an empty one, is a term that stays as it is; empty
    lines are none.

    Raises:
        GlossaryError: the file cannot be read, or has no term, too many, or faulty lines: names the first.
    """
    return _terms(file, _content(file))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise GlossaryError(f"glossary {file} cannot be read: {error.strerror}") from error


def _terms(file: Path, content: bytes) -> list[Term]:
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise GlossaryError(f"glossary {file}: line {number} is no UTF-8") from error
    faults: list[str] = []
    numbered = dict(_numbered(lines, faults))
    numbers, terms = list(numbered), list(numbered.values())
    for fault in term_faults(terms):
        other = "" if fault.first is None else f" line {numbers[fault.first]}"
        faults.append(f"line {numbers[fault.index]}: the {fault.side} {fault.rule}{other}")
    if faults:
        more = f"; and {len(faults) - _MAX_TOLD} more" if len(faults) > _MAX_TOLD else ""
        raise GlossaryError(f"glossary {file}: {'; '.join(faults[:_MAX_TOLD])}{more}")
    if not 1 <= len(terms) <= MAX_FILE_TERMS:
        raise GlossaryError(f"glossary {file} has {len(terms)} terms, must have 1 to {MAX_FILE_TERMS}")
    return terms


def _numbered(lines: Iterable[str], faults: list[str]) -> Iterator[tuple[int, Term]]:
    """The terms of lines and the lines' numbers; what has other columns is a fault."""
    for number, line in enumerate(lines, 1):
        source, target, case, *more = [*line.removesuffix("\r").split("\t"), "", ""]
        if more[2:] or case not in {"", _MATCH_CASE}:
            columns = f"a source, a target and {_MATCH_CASE!r} at most"
            faults.append(f"line {number} is {line[:_MAX_QUOTED]!r}, must have {columns}")
        elif line.strip():
            yield number, Term(source=source, target=target, match_case=bool(case))
