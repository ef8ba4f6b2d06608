"""What a machine has, and what a container's limits leave of it: files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.models.machine import available_bytes, num_processors

PROCESSORS = len(os.sched_getaffinity(0))
TOTAL_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


def write_memory(folder: Path, limit: int | str, used: int, inactive_file: int = 0) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 4096\nfile 8192\ninactive_file {inactive_file}\nslab 77\n")


def test_this_machine_has_processors_and_memory() -> None:
    assert 1 <= num_processors() <= PROCESSORS
    assert MIB < available_bytes() < TOTAL_BYTES


def test_without_a_container_all_of_the_machine_is_there(tmp_path: Path) -> None:
    assert num_processors(tmp_path) == PROCESSORS
    assert MIB < available_bytes(tmp_path) < TOTAL_BYTES


def test_a_container_without_limits_has_all_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    write_memory(tmp_path, "max", used=TOTAL_BYTES)
    assert num_processors(tmp_path) == PROCESSORS
    assert available_bytes(tmp_path) > MIB


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("100000 100000", 1), ("150000 100000", 1), ("20000 100000", 1), ("6400000000 100000", PROCESSORS)],
)
def test_a_quota_counts_in_whole_processors_and_at_least_one(
    tmp_path: Path, quota: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert num_processors(tmp_path) == expected


def test_a_quota_of_two_is_two_where_there_are_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text("100000 50000\n")
    assert num_processors(tmp_path) == 2


def test_a_limit_leaves_what_is_not_used_and_files_that_are_only_cached_use_nothing(tmp_path: Path) -> None:
    write_memory(tmp_path, limit=5 * MIB, used=3 * MIB)
    assert available_bytes(tmp_path) == 2 * MIB
    write_memory(tmp_path, limit=5 * MIB, used=3 * MIB, inactive_file=MIB)
    assert available_bytes(tmp_path) == 3 * MIB


def test_what_is_left_is_never_less_than_nothing_nor_more_than_the_machine_has(tmp_path: Path) -> None:
    write_memory(tmp_path, limit=2 * MIB, used=3 * MIB)
    assert available_bytes(tmp_path) == 0
    write_memory(tmp_path, limit=100 * TOTAL_BYTES, used=3 * MIB)
    assert MIB < available_bytes(tmp_path) < TOTAL_BYTES
