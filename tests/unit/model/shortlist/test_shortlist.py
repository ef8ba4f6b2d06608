"""A shortlist's candidates follow from one source alone, and a damaged file is never read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.shortlist.shortlist import FILE_NAME, Shortlist, ShortlistError, ShortlistTable
from model.text.sentencepiece_tokenizer import END_ID

V = 40
TAGS = (4, 5)
ROWS = st.dictionaries(st.integers(6, V - 1), st.sets(st.integers(6, V - 1), max_size=6), max_size=12)
ALWAYS = st.sets(st.integers(6, V - 1), max_size=5)
TABLES = st.dictionaries(st.sampled_from(TAGS), st.tuples(ALWAYS, ROWS), max_size=2)
PIECES = st.lists(st.integers(6, V - 1), max_size=8)


def make_table(always: set[int], rows: dict[int, set[int]], size: int = V) -> ShortlistTable:
    lists = [sorted(rows.get(token, ())) for token in range(size)]
    is_always = np.zeros(size, dtype=np.bool_)
    is_always[[END_ID, *always]] = True
    return ShortlistTable(
        is_always=is_always,
        offsets=np.cumsum([0, *map(len, lists)]),
        targets=np.array([target for row in lists for target in row], dtype=np.int64),
    )


def make(tables: dict[int, tuple[set[int], dict[int, set[int]]]], size: int = V) -> Shortlist:
    return Shortlist(size, {tag: make_table(*table, size) for tag, table in tables.items()})


@pytest.fixture
def shortlist() -> Shortlist:
    return make({5: ({7, 9}, {10: {11, 12}, 13: {12, 39}}), 4: ({8}, {10: {20}})})


def sealed(body: bytes) -> bytes:
    """With the checksum that its content has, so that only the content is wrong."""
    return body + struct.pack("<I", zlib.crc32(body))


def test_candidates_are_the_constant_ones_the_translations_and_the_source_itself(
    shortlist: Shortlist,
) -> None:
    assert shortlist.candidates([5, 10, 13, 30, END_ID]).tolist() == [3, 7, 9, 10, 11, 12, 13, 30, 39]
    assert shortlist.candidates([4, 10, 13, 30, END_ID]).tolist() == [3, 8, 10, 13, 20, 30]
    assert shortlist.candidates((5, END_ID)).tolist() == shortlist.candidates([5]).tolist() == [3, 7, 9]


@given(tables=TABLES, pieces=PIECES)
def test_candidates_are_the_union_in_ascending_order(
    tables: dict[int, tuple[set[int], dict[int, set[int]]]], pieces: list[int]
) -> None:
    found = make(tables)
    assert found.tags == tuple(sorted(tables))
    for tag, (always, rows) in tables.items():
        expected = {END_ID, *always, *pieces}.union(*(rows.get(piece, set()) for piece in pieces))
        candidates = found.candidates([tag, *pieces, END_ID])
        assert candidates.dtype == np.int64
        assert candidates.tolist() == sorted(expected)


def test_the_order_and_number_of_a_sources_tokens_do_not_matter(shortlist: Shortlist) -> None:
    first = shortlist.candidates([5, 10, 13, END_ID])
    np.testing.assert_array_equal(shortlist.candidates([5, 13, 10, 13, 10, END_ID]), first)


def test_asking_leaves_no_trace(shortlist: Shortlist) -> None:
    before = shortlist.to_bytes()
    shortlist.candidates([5, 10, 13, 30, END_ID])[:] = 0
    assert shortlist.candidates([5, END_ID]).tolist() == [3, 7, 9]
    assert shortlist.to_bytes() == before


def test_a_tag_without_a_table_is_named(shortlist: Shortlist) -> None:
    with pytest.raises(ShortlistError, match="no table for the tag 6, only for 4, 5"):
        shortlist.candidates([6, 10, END_ID])


@given(tables=TABLES)
def test_it_comes_back_from_its_bytes(tables: dict[int, tuple[set[int], dict[int, set[int]]]]) -> None:
    written = make(tables)
    read = Shortlist.from_bytes(written.to_bytes())
    assert (read.vocabulary_size, read.tags) == (V, written.tags)
    for tag in read.tags:
        ours, theirs = read.table(tag), written.table(tag)
        np.testing.assert_array_equal(ours.is_always, theirs.is_always)
        np.testing.assert_array_equal(ours.offsets, theirs.offsets)
        np.testing.assert_array_equal(ours.targets, theirs.targets)


def test_the_same_tables_give_the_same_bytes(shortlist: Shortlist, tmp_path: Path) -> None:
    shortlist.save(tmp_path)
    content = (tmp_path / FILE_NAME).read_bytes()
    Shortlist.load(tmp_path).save(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content == shortlist.to_bytes()
    other_order = Shortlist(V, {tag: shortlist.table(tag) for tag in reversed(shortlist.tags)})
    assert other_order.to_bytes() == content


def test_a_vocabulary_beyond_16_bits_keeps_its_ids() -> None:
    size = 2**16 + 10
    read = Shortlist.from_bytes(make({5: ({size - 1}, {size - 2: {size - 3}})}, size).to_bytes())
    assert read.candidates([5, size - 2, END_ID]).tolist() == [3, size - 3, size - 2, size - 1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShortlistError, match=rf"cannot read .*{FILE_NAME}"):
        Shortlist.load(tmp_path)


def test_a_file_with_any_byte_changed_or_cut_is_refused(shortlist: Shortlist, tmp_path: Path) -> None:
    content = shortlist.to_bytes()
    damaged = [content[:end] for end in range(len(content))]
    damaged += [content + b"\0", b"text"]
    damaged += [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in range(len(content))]
    for each in damaged:
        (tmp_path / FILE_NAME).write_bytes(each)
        with pytest.raises(ShortlistError, match="cannot read"):
            Shortlist.load(tmp_path)


def test_a_file_whose_sizes_do_not_fit_is_refused(shortlist: Shortlist) -> None:
    body = shortlist.to_bytes()[:-4]
    for wrong, fault in (
        (body[:-2], "damaged"),
        (body + b"\0\0", "2 bytes too many"),
        (body[:8] + struct.pack("<I", V + 1) + body[12:], "damaged"),
        (body[:12] + struct.pack("<I", 3) + body[16:], "damaged"),
        (body[:-2] + struct.pack("<H", V), f"the highest is {V}, must be below {V}"),
        (body[:28] + struct.pack("<H", V) + body[30:], f"{V} is out of range, must be below {V}"),
    ):
        with pytest.raises(ShortlistError, match=fault):
            Shortlist.from_bytes(sealed(wrong))


def test_every_fault_of_a_table_is_listed() -> None:
    table = make_table(set(), {10: {11, 12}})
    wrong = ShortlistTable(
        is_always=np.zeros(V, dtype=np.bool_), offsets=table.offsets[:-1], targets=np.array([11, V])
    )
    with pytest.raises(ShortlistError) as caught:
        Shortlist(V, {4: wrong, 3: table, V: table})
    for fault in (
        "tag 3 is out of range",
        f"tag {V} is out of range",
        f"tag 4: is_always must have {V} entries and hold END_ID",
        f"tag 4: offsets must be {V + 1}, rising from 0 to 2",
        f"tag 4: a target is out of range, the highest is {V}",
    ):
        assert fault in str(caught.value)


def test_offsets_that_fall_are_refused() -> None:
    table = make_table(set(), {10: {11, 12}, 13: {14}})
    offsets = table.offsets.copy()
    offsets[11] = 3
    with pytest.raises(ShortlistError, match="rising from 0 to 3"):
        Shortlist(V, {5: ShortlistTable(is_always=table.is_always, offsets=offsets, targets=table.targets)})
