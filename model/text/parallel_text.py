"""Parallel text: sentence pairs in tab-separated files. Knows nothing of PyTorch."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

log = logging.getLogger("traghetto.data")


class DataError(ValueError):
    """A data file is missing or a line is no pair."""


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of a UTF-8 file, one a line, separated by a tab; .gz is unpacked.

    Further columns, as some corpora have for their sources, are left out, which the log says.

    Raises:
        DataError: no such file, damaged content, or a line without a tab.
    """
    return [pair for _, pair in numbered_pairs(path)]


def numbered_pairs(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """The pairs of a file as `read_pairs` gives them, each behind the number of its line, from 1.

    Raises:
        DataError: as `read_pairs`, once the line is reached.
    """
    num_columns = 2
    first_empty = 0
    for number, line in numbered_lines(path):
        if not line:  # no fault at the end of a file
            first_empty = first_empty or number
            continue
        columns = line.split("\t")
        if first_empty or len(columns) < 2:
            raise DataError(f"{path}, line {first_empty or number}: 1 columns, must be at least 2")
        if len(columns) > num_columns:
            num_columns = len(columns)
            log.warning("%s, line %d: %d columns, only 2 are read", path, number, num_columns)
        yield number, (columns[0], columns[1])


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file, plain or .gz, behind their numbers, from 1.

    A line ends at "\n" or "\r\n"; a carriage return elsewhere is part of the text.

    Raises:
        DataError: no such file, or damaged content.
    """
    if not path.is_file():
        raise DataError(f"no data file {path}")
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                yield number, line.removesuffix("\n").removesuffix("\r")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")
