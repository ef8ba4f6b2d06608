"""Parallel text: sentence pairs in tab-separated files. Knows nothing of PyTorch."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TextIO


class DataError(ValueError):
    """A data file is missing or a line is no pair."""


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of a UTF-8 file, one a line, separated by a tab; .gz is unpacked.

    Raises:
        DataError: no such file, damaged content, or a line without exactly one tab.
    """
    if not path.is_file():
        raise DataError(f"no data file {path}")
    try:
        with _open(path) as file:
            lines = file.read().rstrip("\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise DataError(f"{path}, line {number}: {len(columns)} columns, must be 2")
        pairs.append((columns[0], columns[1]))
    return pairs


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
