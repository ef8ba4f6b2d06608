"""What this machine, or the container on it, has to give: processors and memory."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

from server.engine.device import DeviceError

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


def free_gpu_bytes() -> int:
    """Memory of the first GPU that is free now, as its driver says; weights that are loaded are not in it.

    Raises:
        DeviceError: names the question and the driver's error.
    """
    driver = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    available, total = ctypes.c_size_t(), ctypes.c_size_t()
    _ask(driver, "cuInit", 0)
    _ask(driver, "cuDeviceGet", ctypes.byref(device), 0)
    _ask(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)  # the one ONNX Runtime is in
    try:
        _ask(driver, "cuCtxPushCurrent_v2", context)
        _ask(driver, "cuMemGetInfo_v2", ctypes.byref(available), ctypes.byref(total))
        _ask(driver, "cuCtxPopCurrent_v2", ctypes.byref(context))
    finally:
        _ask(driver, "cuDevicePrimaryCtxRelease_v2", device)
    return available.value


def _ask(driver: ctypes.CDLL, question: str, *arguments: object) -> None:
    if status := getattr(driver, question)(*arguments):
        raise DeviceError(f"{question} of the GPU's driver gives error {status}")


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
