"""Files of comma-separated values with a header, whose rows may go over several lines."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import fsspec

from server.bulk.blocks import (
    BYTE_ORDER_MARK,
    COLUMNS,
    Block,
    BulkError,
    Outcome,
    Rows,
    Scan,
    clashing,
    cut,
    hashed,
    unicode_fault,
)

csv.field_size_limit(sys.maxsize)  # how long a text may be is for the model to say


@dataclass
class _CsvRows:
    texts: Sequence[str | Outcome]
    header: list[str]
    rows: list[list[str]]

    def written(self, first_row: int, outcomes: Sequence[Outcome]) -> bytes:
        """The content of the block's file."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.header, *COLUMNS])
        width = len(self.header)
        for number, (row, outcome) in enumerate(zip(self.rows, outcomes, strict=True), first_row):
            own = (row + [""] * width)[:width]  # the error of one that is too long has all of it
            writer.writerow([*own, number, outcome.translation, outcome.warnings, outcome.error])
        return _encoded(text.getvalue())


class Csv:
    """Rows of comma-separated values; lines that are empty are none.

    Args:
        field: Name of the column that holds the text.
    """

    suffix = ".csv"

    def __init__(self, field: str) -> None:
        self._field = field

    def scan(self, path: str, rows_per_block: int) -> Scan:
        """Read a file once, as `Format` says."""
        digest = hashlib.sha256()
        with fsspec.open(path, "rb") as file:
            sizes = _row_sizes(path, hashed(file, digest))
            header, first_byte = next(sizes, ([], 0))
            self._require(path, header)
            blocks = list(cut((size for _, size in sizes), rows_per_block, first_byte))
        return Scan(blocks=blocks, sha256=digest.hexdigest())

    def _require(self, path: str, header: list[str]) -> None:
        if self._field not in header:
            raise BulkError(f"{path}: there is no column {self._field!r} among {', '.join(header) or 'none'}")
        if len(set(header)) < len(header):
            raise BulkError(f"{path}: a column's name comes twice in {', '.join(header)}")
        if fault := clashing(header):
            raise BulkError(f"{path}: {fault}")

    def rows(self, path: str, block: Block) -> Rows:
        """Read a block."""
        with fsspec.open(path, "rb") as file:
            header, _ = next(_row_sizes(path, file))
            file.seek(block.first_byte)
            content = file.read(block.num_bytes)
        rows = [row for row, _ in _row_sizes(path, io.BytesIO(content), is_whole=False)]
        return _CsvRows(texts=[self._text(header, row) for row in rows], header=header, rows=rows)

    def count(self, content: bytes) -> tuple[int, int]:
        """Rows of a written file, and errors among them."""
        errors = [row[-1] for row, _ in _row_sizes("", io.BytesIO(content))][1:]
        return len(errors), sum(error != "" for error in errors)

    def _text(self, header: list[str], row: list[str]) -> str | Outcome:
        if len(row) != len(header):
            # What does not fit into the columns is here.
            said = f"the row has {len(row)} fields, the header {len(header)}: {json.dumps(row)}"
            return Outcome(error=said)
        text = row[header.index(self._field)]
        return unicode_fault(text) or text


def _row_sizes(
    path: str, lines: Iterable[bytes], *, is_whole: bool = True
) -> Iterator[tuple[list[str], int]]:
    """Each row, and how many bytes it has, with the empty lines before it.

    Args:
        is_whole: Whether they are a file from its beginning, where a mark of byte order is none of a row.

    Raises:
        BulkError: a quotation mark is where none may be, or misses its other.
    """
    num_bytes = num_lines = 0

    def decoded() -> Iterator[str]:
        nonlocal num_bytes, num_lines
        for line in lines:
            num_bytes += len(line)
            num_lines += 1
            text = line.removeprefix(BYTE_ORDER_MARK) if is_whole and num_lines == 1 else line
            yield text.decode(errors="surrogateescape")

    try:
        for row in csv.reader(decoded(), strict=True):
            if row:
                yield row, num_bytes
                num_bytes = 0
    except csv.Error as error:
        raise BulkError(f"{path}, line {num_lines}: {error}") from error


def _encoded(text: str) -> bytes:
    """Bytes that were no UTF-8 as they were."""
    return text.encode(errors="surrogateescape")
