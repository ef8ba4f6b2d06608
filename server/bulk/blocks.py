"""The blocks of a file: rows that are translated, written and, after a kill, done again together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fsspec

# What a row gets beside its own columns.
COLUMNS = ("row", "translation", "warnings", "error")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BulkError(ValueError):
    """A file or a folder with which a run cannot begin, or that is not what it should be at its end."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Where some rows of a file are.

    Args:
        number: Of the block, from 0.
        first_row, num_rows: From 0.
        first_byte, num_bytes: In a file of lines; 0 in one of Parquet.
    """

    number: int
    first_row: int
    num_rows: int
    first_byte: int = 0
    num_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A file's blocks, in order, and the SHA-256 of its content."""

    blocks: list[Block]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a text: a translation, perhaps with warnings, or an error."""

    translation: str | None = None
    warnings: str | None = None
    error: str | None = None


class Rows(Protocol):
    """The rows of a block.

    Attributes:
        texts: Of each row; an error where it has none that can be translated.
    """

    texts: Sequence[str | Outcome]

    def written(self, first_row: int, outcomes: Sequence[Outcome]) -> bytes:
        """The content of the block's file: each row as it was, and the columns of its outcome."""


class Format(Protocol):
    """How rows are kept in a file.

    Attributes:
        suffix: Of the files that are written.
    """

    suffix: str

    def scan(self, path: str, rows_per_block: int) -> Scan:
        """Read a file once, from its beginning to its end.

        Raises:
            BulkError: it cannot be cut into rows, or has no place for texts or outcomes.
        """

    def rows(self, path: str, block: Block) -> Rows:
        """Read a block."""

    def count(self, content: bytes) -> tuple[int, int]:
        """How many rows a written file has, and how many of them an error."""


def located(path: str) -> str:
    """An address of fsspec, or a local path, which means the same in every process.

    >>> located("s3://bucket/corpus.csv")
    's3://bucket/corpus.csv'
    """
    return path if "://" in path else str(Path(path).absolute())


def hashed(chunks: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    """The same chunks, which are added to a digest as they pass."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def sha256_of(path: str) -> str:
    """Of a file's content."""
    with fsspec.open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut(sizes: Iterable[int], rows_per_block: int, first_byte: int) -> Iterator[Block]:
    """Blocks of rows that follow each other in a file.

    Args:
        sizes: Of each row, in bytes.
        first_byte: Of the first row.

    >>> [(block.num_rows, block.first_byte, block.num_bytes) for block in cut([3, 4, 5], 2, first_byte=10)]
    [(2, 10, 7), (1, 17, 5)]
    """
    number = num_rows = num_bytes = 0
    for size in sizes:
        num_rows, num_bytes = num_rows + 1, num_bytes + size
        if num_rows == rows_per_block:
            yield _block(number, rows_per_block, num_rows, first_byte, num_bytes)
            number, first_byte, num_rows, num_bytes = number + 1, first_byte + num_bytes, 0, 0
    if num_rows:
        yield _block(number, rows_per_block, num_rows, first_byte, num_bytes)


def _block(number: int, rows_per_block: int, num_rows: int, first_byte: int, num_bytes: int) -> Block:
    return Block(
        number=number,
        first_row=number * rows_per_block,
        num_rows=num_rows,
        first_byte=first_byte,
        num_bytes=num_bytes,
    )


def clashing(names: Iterable[str]) -> str | None:
    """What is wrong with the names of a file's columns, if anything is.

    >>> clashing(["text", "error"])
    "has a column 'error' of its own, which is written here"
    """
    taken = next((name for name in names if name in COLUMNS), None)
    return None if taken is None else f"has a column {taken!r} of its own, which is written here"


def unicode_fault(text: str) -> Outcome | None:
    """The error of a text that no model can be given, if it is one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Outcome(error=f"the text is no Unicode: character {error.start + 1}")
    return None
