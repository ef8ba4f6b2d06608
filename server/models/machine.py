"""What this machine, or the container on it, has to give: processors and memory."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

from server.engine.device import DeviceError
from server.engine.gpu import GpuError, first_gpu
from server.models.cgroups import CGROUP, OWN, memory_left, processor_quotas


def num_processors(mount: Path = CGROUP, own: Path = OWN) -> int:
    """Processors that this process may keep busy: its affinity, and the quota of a container or a service.

    Args:
        mount: Where control groups are.
        own: Names those of this process.
    """
    processors = len(os.sched_getaffinity(0))
    return max(1, min([processors, *(int(quota) for quota in processor_quotas(mount, own))]))


def available_bytes(mount: Path = CGROUP, own: Path = OWN) -> int:
    """Memory that is free now: the machine's, or what the limit of a container or a service leaves."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    return max(0, min([available, *memory_left(mount, own)]))


def free_gpu_bytes() -> int:
    """Memory of the first GPU that is free now, as its driver says; weights that are loaded are not in it.

    Raises:
        DeviceError: names the question and the driver's error.
    """
    try:
        return first_gpu().free_bytes()
    except GpuError as error:
        raise DeviceError(str(error)) from error


def release_memory() -> None:
    """Give back what nobody uses any more: objects in reference cycles, and free memory that glibc keeps."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)
