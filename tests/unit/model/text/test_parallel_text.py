"""Pairs are read from plain and packed files, and a line that is none is named."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from model.text.parallel_text import DataError, numbered_pairs, read_pairs

TEXT = "One.\tUno.\nPerché?\tWhy? 🛶\n"


def test_plain_and_packed_files_hold_the_same_pairs(tmp_path: Path) -> None:
    plain, packed = tmp_path / "pairs.tsv", tmp_path / "pairs.tsv.gz"
    plain.write_text(TEXT, encoding="utf-8")
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert read_pairs(plain) == read_pairs(packed) == [("One.", "Uno."), ("Perché?", "Why? 🛶")]


@pytest.mark.parametrize(("line", "num_columns"), [("no tab", 1), ("", 1)])
def test_a_line_that_is_no_pair_is_named_with_its_file(tmp_path: Path, line: str, num_columns: int) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{TEXT}{line}\n{TEXT}", encoding="utf-8")
    message = re.escape(f"{path}, line 3: {num_columns} columns, must be at least 2")
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


def test_further_columns_are_left_out_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("Two.\tDue.\nOne.\tUno.\tCC-BY 2.0\nTwo.\tDue.\tCC-BY 2.0\n", encoding="utf-8")
    assert read_pairs(path) == [("Two.", "Due."), ("One.", "Uno."), ("Two.", "Due.")]
    assert [r.getMessage() for r in caplog.records] == [f"{path}, line 2: 3 columns, only 2 are read"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_carriage_return_ends_a_line_only_before_a_line_feed(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / ("pairs.tsv" if pack is bytes else "pairs.tsv.gz")
    path.write_bytes(
        pack(b"a\tb\rc\td\r\none\rtwo\tuno\r\n\x85\t\xe2\x80\xa8\n".replace(b"\x85", b"\xc2\x85"))
    )
    assert list(numbered_pairs(path)) == [
        (1, ("a", "b\rc")),
        (2, ("one\rtwo", "uno")),
        (3, ("\x85", "\u2028")),
    ]


def test_empty_lines_at_the_end_are_none(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{TEXT}\n\n", encoding="utf-8")
    assert len(read_pairs(path)) == 2


def test_an_empty_file_has_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.touch()
    assert read_pairs(path) == []
