"""Marian's lexical shortlists as ours: the same candidates, and damage is named."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from model.importers.errors import ForeignModelError
from model.importers.marian_shortlist import read_marian_shortlist
from model.shortlist.shortlist import NO_TAG, Shortlist, ShortlistError
from tests.marian_files import SHORTLIST_MAGIC, checksum, shortlist_bytes

V, NUM_FREQUENT = 40, 10
ROWS = [[30 + i % 3] if i % 4 else [] for i in range(V)]
ROWS[0] = [25]  # of the end of the sentence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lex.50.50.enit.s2t.bin"
    path.write_bytes(shortlist_bytes(ROWS, NUM_FREQUENT))
    return path


def signed(*header: int, body: bytes = b"") -> bytes:
    """A file whose checksum is right, of four numbers and what follows them."""
    rest = struct.pack("<4Q", *header) + body
    return struct.pack("<2Q", SHORTLIST_MAGIC, checksum(rest)) + rest


def test_candidates_are_the_frequent_ones_each_tokens_row_and_the_source(path: Path) -> None:
    shortlist = read_marian_shortlist(path, V)
    source = [13, 17, 0]  # rows 31, 32 and, of the end, 25
    assert shortlist.candidates(source).tolist() == [*range(NUM_FREQUENT), 13, 17, 25, 31, 32]
    assert shortlist.fewest_candidates == NUM_FREQUENT
    assert shortlist.tags == ()


def test_the_first_token_of_a_source_is_a_token_as_any_other(path: Path) -> None:
    shortlist = read_marian_shortlist(path, V)
    assert shortlist.candidates([13, 0]).tolist() == [*range(NUM_FREQUENT), 13, 25, 31]
    assert shortlist.table_of([13, 0]) is shortlist.table(NO_TAG)
    with pytest.raises(ShortlistError, match="no table for the tag 13"):
        shortlist.table(13)


def test_it_is_saved_and_loaded_as_ours(path: Path, tmp_path: Path) -> None:
    shortlist = read_marian_shortlist(path, V)
    shortlist.save(tmp_path)
    loaded = Shortlist.load(tmp_path)
    assert loaded.to_bytes() == shortlist.to_bytes()
    assert loaded.candidates([13, 17, 0]).tolist() == shortlist.candidates([13, 17, 0]).tolist()


def test_beside_a_table_of_sources_without_tags_there_is_no_other(path: Path) -> None:
    table = read_marian_shortlist(path, V).table(NO_TAG)
    with pytest.raises(ShortlistError, match="there may be no other"):
        Shortlist(V, {NO_TAG: table, 7: table})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged: 0 bytes, a shortlist has at least 48"),
        (bytes(48), "not a binary shortlist: it opens with 0x0, must with 0xf11a48d5013417f5"),
        (shortlist_bytes(ROWS)[:-4], r"damaged: \d+ bytes, must be \d+"),
        (shortlist_bytes(ROWS[1:]), "it is of 39 source tokens and the 10 most frequent target tokens"),
        (shortlist_bytes(ROWS, 41), "it is of 40 source tokens and the 41 most frequent"),
        (shortlist_bytes([*ROWS[1:], [40]]), "a target is out of range, the highest is 40"),
        (signed(10, 50, 2**60, 2), "damaged: 48 bytes, must be"),
        (signed(10, 50, 41, 0, body=struct.pack("<41Q", *[0] * 40, 7)), "offsets must be 41, rising from 0"),
        (signed(10, 50, 41, 0, body=struct.pack("<41Q", 0, 2**63, *[0] * 39)), "offsets must be 41"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ForeignModelError, match=rf"lex\..*: .*{message}"):
        read_marian_shortlist(path, V)


def test_every_changed_byte_is_seen(path: Path) -> None:
    content, rng = path.read_bytes(), random.Random(3)
    covered = len(content) - len(content) % 8  # four bytes that are left over have no checksum
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randrange(covered)] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        with pytest.raises(ForeignModelError, match=r"lex\."):
            read_marian_shortlist(path, V)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForeignModelError, match=r"cannot read .*lex\.bin"):
        read_marian_shortlist(tmp_path / "lex.bin", V)
