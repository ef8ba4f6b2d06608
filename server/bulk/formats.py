"""The formats that a run reads, by their names."""

from __future__ import annotations

from server.bulk.blocks import Format
from server.bulk.csv_rows import Csv
from server.bulk.line_rows import Lines
from server.bulk.parquet_rows import Parquet


def format_named(name: str, field: str) -> Format:
    """One of lines, jsonl, csv and parquet; `field` has the text of a row."""
    match name:
        case "lines":
            return Lines()
        case "jsonl":
            return Lines(field)
        case "csv":
            return Csv(field)
        case _:
            return Parquet(field)
