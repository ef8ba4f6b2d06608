"""Pairs are read from plain and packed files, and a line that is none is named."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from model.text.parallel_text import DataError, read_pairs

TEXT = "One.\tUno.\nPerché?\tWhy? 🛶\n"


def test_plain_and_packed_files_hold_the_same_pairs(tmp_path: Path) -> None:
    plain, packed = tmp_path / "pairs.tsv", tmp_path / "pairs.tsv.gz"
    plain.write_text(TEXT, encoding="utf-8")
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert read_pairs(plain) == read_pairs(packed) == [("One.", "Uno."), ("Perché?", "Why? 🛶")]


@pytest.mark.parametrize(("line", "num_columns"), [("no tab", 1), ("one\ttwo\tthree", 3), ("", 1)])
def test_a_line_that_is_no_pair_is_named_with_its_file(tmp_path: Path, line: str, num_columns: int) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{TEXT}{line}\n{TEXT}", encoding="utf-8")
    message = re.escape(f"{path}, line 3: {num_columns} columns, must be 2")
    with pytest.raises(DataError, match=message):
        read_pairs(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.tsv"
    with pytest.raises(DataError, match=re.escape(f"no data file {path}")):
        read_pairs(path)


@pytest.mark.parametrize(("name", "content"), [("a.tsv", b"caff\xe8\tcoffee\n"), ("a.tsv.gz", b"no gzip")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path} is damaged")):
        read_pairs(path)
