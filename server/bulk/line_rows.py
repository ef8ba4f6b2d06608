"""Files with a row on each line: texts themselves, or objects of JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import fsspec

from server.bulk.blocks import (
    BYTE_ORDER_MARK,
    Block,
    Outcome,
    Rows,
    Scan,
    clashing,
    cut,
    hashed,
    unicode_fault,
)

_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "an array"}


@dataclass
class _LineRows:
    """Rows whose output is an object of JSON on a line.

    Args:
        heads: Of each row the beginning of that object, which other members may follow.
    """

    texts: Sequence[str | Outcome]
    heads: Sequence[bytes]

    def written(self, first_row: int, outcomes: Sequence[Outcome]) -> bytes:
        """The content of the block's file."""
        rows = enumerate(zip(self.heads, outcomes, strict=True), first_row)
        return b"".join(head + _tail({"row": number, **asdict(outcome)}) for number, (head, outcome) in rows)


class Lines:
    """Each line is a text; of its outcome a line of JSON is written, for a text has no columns.

    Args:
        field: The member that holds the text where lines are objects of JSON; None where they are not.
    """

    suffix = ".jsonl"

    def __init__(self, field: str | None = None) -> None:
        self._field = field

    def scan(self, path: str, rows_per_block: int) -> Scan:
        """Read a file once, as `Format` says."""
        digest = hashlib.sha256()
        with fsspec.open(path, "rb") as file:
            first_byte = len(BYTE_ORDER_MARK) if file.read(3) == BYTE_ORDER_MARK else 0
            file.seek(first_byte)
            blocks = list(cut(map(len, hashed(file, digest)), rows_per_block, first_byte))
        return Scan(blocks=blocks, sha256=digest.hexdigest())

    def rows(self, path: str, block: Block) -> Rows:
        """Read a block."""
        with fsspec.open(path, "rb") as file:
            file.seek(block.first_byte)
            content = file.read(block.num_bytes)
        lines = content.removesuffix(b"\n").split(b"\n")
        rows = [self._row(line.removesuffix(b"\r")) for line in lines]
        return _LineRows(texts=[text for text, _ in rows], heads=[head for _, head in rows])

    def count(self, content: bytes) -> tuple[int, int]:
        """Rows of a written file, and errors among them."""
        errors = [json.loads(line)["error"] for line in content.splitlines()]
        return len(errors), sum(error is not None for error in errors)

    def _row(self, line: bytes) -> tuple[str | Outcome, bytes]:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            said = f"the line is no UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}"
            return Outcome(error=said), _kept(line)
        return (text, _head({"text": text})) if self._field is None else _object(text, self._field)


def _object(line: str, field: str) -> tuple[str | Outcome, bytes]:
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Outcome(error=f"the line is no JSON: {error}"), _kept(line.encode())
    fault = clashing(row) if isinstance(row, dict) else "is no object"
    if fault is not None:
        return Outcome(error=f"the line {fault}"), _kept(line.encode())
    # As it was written, to the last digit of a number.
    head = line.rstrip().removesuffix("}").encode() + (b", " if row else b"")
    return _text(row, field), head


def _text(row: dict[str, Any], field: str) -> str | Outcome:
    if field not in row:
        return Outcome(error=f"the line has no {field!r}")
    text = row[field]
    if not isinstance(text, str):
        return Outcome(error=f"{field!r} is {_KINDS.get(type(text), 'an object')}, must be a string")
    return unicode_fault(text) or text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _kept(line: bytes) -> bytes:
    r"""Of a line that cannot be read: its bytes that are no UTF-8 as \xNN."""
    return _head({"input": line.decode(errors="backslashreplace")})


def _head(members: dict[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False)[:-1].encode() + b", "


def _tail(members: dict[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False)[1:].encode() + b"\n"
