"""What this machine, or the container on it, has to give: processors and memory."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # a container sees its own here; of version 1 nothing is read


def num_processors(cgroup: Path = CGROUP) -> int:
    """Processors that this process may keep busy: its affinity, and a container's quota."""
    processors = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return max(1, min(processors, int(quota) // int(period)))
    except (OSError, ValueError):  # no version 2 hierarchy, or "max"
        return processors


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Memory that is free now: the machine's, or what a container's limit leaves."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        return max(0, min(available, limit - _used_bytes(cgroup)))
    except (OSError, ValueError):
        return available


def release_memory() -> None:
    """Give back what nobody uses any more: objects in reference cycles, and free memory that glibc keeps."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


def _used_bytes(cgroup: Path) -> int:
    """What counts against a container's limit, less the cached files that the kernel gives up first."""
    lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    cached = dict(line.split() for line in lines)["inactive_file"]
    return int((cgroup / "memory.current").read_text(encoding="ascii")) - int(cached)
