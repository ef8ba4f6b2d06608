"""Limits of control groups, of either version: a container's, and those that systemd sets for a service.

A process is in a group and in all groups above it, and the lowest limit counts. A container sees its own
group as the root; outside, /proc/self/cgroup says where a process stands.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, kw_only=True)
class _MemoryFiles:
    """What a version calls the files of memory."""

    limit: str
    used: str
    cached: str  # a line of memory.stat: files in memory that the kernel gives up first


_VERSION_1 = _MemoryFiles(
    limit="memory.limit_in_bytes", used="memory.usage_in_bytes", cached="total_inactive_file"
)
_VERSION_2 = _MemoryFiles(limit="memory.max", used="memory.current", cached="inactive_file")


def processor_quotas(mount: Path = CGROUP, own: Path = OWN) -> Iterator[float]:
    """Processors that each group above this process allows; nothing of those without a limit."""
    for group in _groups(mount, own, "cpu"):
        try:
            if (group / "cpu.max").exists():
                quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota, period = (
                    (group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
                )
            if int(quota) > 0:  # version 1 says -1 for no limit
                yield int(quota) / int(period)
        except (OSError, ValueError):  # no such files, or "max"
            continue


def memory_left(mount: Path = CGROUP, own: Path = OWN) -> Iterator[int]:
    """Bytes that each group above this process leaves; nothing of those without a limit."""
    for group in _groups(mount, own, "memory"):
        for files in (_VERSION_2, _VERSION_1):
            try:
                limit = int((group / files.limit).read_text(encoding="ascii"))
                yield limit - _used_bytes(group, files)
            except (OSError, ValueError):
                continue


def _groups(mount: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, in either version's tree."""
    version_1 = mount / controller
    paths = {mount: "/", version_1: "/"}
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:  # number:controllers:path, and 0::path for version 2
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            paths[mount] = path
        elif controller in controllers.split(","):
            paths[version_1] = path
    for root, path in paths.items():
        group = root / path.lstrip("/")
        if ".." in group.parts:  # it lies outside of what a container sees
            group = root
        while group != root:
            yield group
            group = group.parent
        yield root


def _used_bytes(group: Path, files: _MemoryFiles) -> int:
    """What counts against a limit, less the cached files."""
    lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    cached = dict(line.split() for line in lines).get(files.cached, "0")
    return int((group / files.used).read_text(encoding="ascii")) - int(cached)
