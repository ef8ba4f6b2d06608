"""Files of Parquet: rows in columns of types, which stay as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow
from pyarrow import parquet, types

from server.bulk.blocks import Block, BulkError, Outcome, Rows, Scan, clashing, cut, sha256_of


@dataclass
class _ParquetRows:
    texts: Sequence[str | Outcome]
    table: Any

    def written(self, first_row: int, outcomes: Sequence[Outcome]) -> bytes:
        """The content of the block's file."""
        table, num_rows = self.table, len(outcomes)
        table = table.append_column("row", pyarrow.array(range(first_row, first_row + num_rows), "int64"))
        for name in ("translation", "warnings", "error"):
            column = pyarrow.array([getattr(outcome, name) for outcome in outcomes], "string")
            table = table.append_column(name, column)
        content = io.BytesIO()
        parquet.write_table(table, content)
        return content.getvalue()


class Parquet:
    """Rows of Parquet.

    Args:
        field: Name of the column that holds the text.
    """

    suffix = ".parquet"

    def __init__(self, field: str) -> None:
        self._field = field

    def scan(self, path: str, rows_per_block: int) -> Scan:
        """Read a file once, as `Format` says."""
        with fsspec.open(path, "rb") as file:
            try:
                opened = parquet.ParquetFile(file)
            except pyarrow.ArrowInvalid as error:
                raise BulkError(f"{path} is no Parquet: {error}") from error
            self._require(path, opened.schema_arrow)
            num_rows = opened.metadata.num_rows
        blocks = list(cut([0] * num_rows, rows_per_block, first_byte=0))
        return Scan(blocks=blocks, sha256=sha256_of(path))

    def _require(self, path: str, schema: Any) -> None:
        if self._field not in schema.names:
            raise BulkError(f"{path}: there is no column {self._field!r} among {', '.join(schema.names)}")
        kind = schema.field(self._field).type
        if not (types.is_string(kind) or types.is_large_string(kind)):
            raise BulkError(f"{path}: column {self._field!r} is of type {kind}, must be string")
        if fault := clashing(schema.names):
            raise BulkError(f"{path}: {fault}")

    def rows(self, path: str, block: Block) -> Rows:
        """Read a block."""
        with fsspec.open(path, "rb") as file:
            table = _table(parquet.ParquetFile(file), block)
        return _ParquetRows(texts=[_text(value) for value in table[self._field]], table=table)

    def count(self, content: bytes) -> tuple[int, int]:
        """Rows of a written file, and errors among them."""
        errors = parquet.read_table(io.BytesIO(content), columns=["error"])["error"]
        return len(errors), len(errors) - errors.null_count


def _table(file: Any, block: Block) -> Any:
    """The rows of a block, of the row groups that have some of them."""
    groups, before, end = [], 0, 0
    for number in range(file.metadata.num_row_groups):
        begin, end = end, end + file.metadata.row_group(number).num_rows
        if end <= block.first_row:
            before = end
        elif begin < block.first_row + block.num_rows:
            groups.append(number)
    return file.read_row_groups(groups).slice(block.first_row - before, block.num_rows)


def _text(value: Any) -> str | Outcome:
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError as error:
        return Outcome(error=f"the text is no UTF-8: byte {error.start + 1}")
    return Outcome(error="the text is null") if text is None else text
