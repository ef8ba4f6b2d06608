"""What is written is read again, through maps; pairs meet their duplicates on disk."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.preparation.buckets import NUM_BUCKETS, Buckets
from model.preparation.shards import Shard, ShardWriter
from model.text.parallel_text import DataError

IDS = st.lists(st.integers(0, 2**32 - 1), max_size=5)


@given(examples=st.lists(st.tuples(IDS, IDS), max_size=6))
def test_examples_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, examples: list[tuple[list[int], list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    with ShardWriter(folder) as writer:
        for source, target in examples:
            writer.add(source, target)
    shard = Shard(folder)
    assert [(shard.source(i).tolist(), shard.target(i).tolist()) for i in range(len(shard))] == examples
    assert shard.source_lengths.tolist() == [len(source) for source, _ in examples]
    assert shard.target_lengths.tolist() == [len(target) for _, target in examples]


def test_the_arrays_are_maps_and_not_in_memory(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        writer.add([1, 2], [3])
    shard = Shard(tmp_path)
    base = shard.source(0).base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize(("name", "content"), [("source.bin", b"123"), ("target.bin", b"1234" * 7)])
def test_a_damaged_shard_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    with ShardWriter(tmp_path) as writer:
        writer.add([1, 2], [3])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))}.*damaged"):
        Shard(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data file"):
        Shard(tmp_path)


def test_equal_pairs_come_out_once_with_the_file_that_had_them_first(tmp_path: Path) -> None:
    with Buckets(tmp_path) as buckets:
        for origin, first, second in [
            ("a", "x", "y"),
            ("b", "x", "y"),
            ("b", "x", "z\n\u2028"),
            ("b", "x", "y"),
        ]:
            buckets.add(origin, first, second)
        assert sorted(buckets.unique(1)) == [("a", "x", "y"), ("b", "x", "z\n\u2028")]
    assert not list(tmp_path.iterdir())


def test_the_order_is_another_and_follows_from_the_seed(tmp_path: Path) -> None:
    rows = [("a", f"{i}", f"{i}") for i in range(4 * NUM_BUCKETS)]
    with Buckets(tmp_path) as buckets:
        for row in rows:
            buckets.add(*row)
        first, again, other = (list(buckets.unique(seed)) for seed in (1, 1, 2))
    assert sorted(first) == sorted(rows)
    assert first == again
    assert first not in (rows, other)
