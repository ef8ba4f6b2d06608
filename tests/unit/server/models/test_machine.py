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


def write_own(folder: Path, *lines: str) -> Path:
    (folder / "own").write_text("".join(f"{line}\n" for line in lines))
    return folder / "own"


def test_a_service_has_the_lowest_limit_of_the_groups_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd makes them: outside of a container nothing stands in the root."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    service = tmp_path / "system.slice/traghetto.service"
    service.mkdir(parents=True)
    own = write_own(tmp_path, "0::/system.slice/traghetto.service")
    (service / "cpu.max").write_text("max 100000\n")
    (service.parent / "cpu.max").write_text("350000 100000\n")
    assert num_processors(tmp_path, own) == 3
    (service / "cpu.max").write_text("200000 100000\n")
    assert num_processors(tmp_path, own) == 2
    write_memory(service, limit=9 * MIB, used=3 * MIB)
    write_memory(service.parent, limit=7 * MIB, used=3 * MIB)
    assert available_bytes(tmp_path, own) == 4 * MIB


@pytest.mark.parametrize("path", ["/", "/docker/1a2b", "/../1a2b"])
def test_version_1_is_read_as_version_2_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A container of version 1 is told its path on the host, where it sees its own group as the root."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    own = write_own(tmp_path, f"5:cpu,cpuacct:{path}", f"4:memory:{path}", f"1:name=systemd:{path}")
    for name, content in {
        "cpu/cpu.cfs_quota_us": "250000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": f"{5 * MIB}",
        "memory/memory.usage_in_bytes": f"{3 * MIB}",
        "memory/memory.stat": f"cache 7\ninactive_file 1\ntotal_inactive_file {MIB}",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    assert num_processors(tmp_path, own) == 2
    assert available_bytes(tmp_path, own) == 3 * MIB
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert num_processors(tmp_path, own) == 8
    assert available_bytes(tmp_path, own) > MIB
