"""A GPU by way of its driver: copies that do not wait, and the one stream in which all of this process runs.

ONNX Runtime does the rest. Its own copies wait each, and its sessions have a stream each, so that between two
graphs somebody had to wait.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NON_BLOCKING = 1  # a stream that does not wait for the default one
_OUT_OF_MEMORY = 2

Buffer = NDArray[np.uint8]


class GpuError(RuntimeError):
    """The driver of a GPU answered with an error.

    >>> raise GpuError("cuInit", 100)
    Traceback (most recent call last):
    ...
    server.engine.gpu.GpuError: cuInit of the GPU's driver gives CUDA error 100
    """

    def __init__(self, question: str, status: int) -> None:
        meaning = ": out of memory" if status == _OUT_OF_MEMORY else ""
        super().__init__(f"{question} of the GPU's driver gives CUDA error {status}{meaning}")


class Gpu:
    """The first GPU that CUDA shows this process, for its whole life.

    Attributes:
        number: Of it, as ONNX Runtime has it.
        stream: The driver's handle of the stream.

    Raises:
        GpuError: names the question and the driver's error.
    """

    def __init__(self) -> None:
        self.number = 0
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._context = ctypes.c_void_p()
        device, stream = ctypes.c_int(), ctypes.c_void_p()
        self._ask("cuInit", 0)
        self._ask("cuDeviceGet", ctypes.byref(device), self.number)
        self._ask("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)  # ONNX Runtime's too
        self._enter()
        self._ask("cuStreamCreate", ctypes.byref(stream), _NON_BLOCKING)
        self.stream = stream.value or 0

    def _enter(self) -> None:
        """Make its context the thread's own: whichever thread asks."""
        self._ask("cuCtxSetCurrent", self._context)

    def pinned(self, num_bytes: int) -> Buffer:
        """Main memory that copies go to and from without waiting, zeroed.

        Raises:
            GpuError: there is none.
        """
        place = ctypes.c_void_p()
        self._enter()
        self._ask("cuMemHostAlloc", ctypes.byref(place), ctypes.c_size_t(max(1, num_bytes)), 0)
        owner = (ctypes.c_uint8 * num_bytes).from_address(place.value or 0)
        weakref.finalize(owner, self._free, place).atexit = False
        buffer: Buffer = np.frombuffer(memoryview(owner), np.uint8)
        buffer.fill(0)
        return buffer

    def _free(self, place: ctypes.c_void_p) -> None:
        """Of no account if it fails: a GPU that is lost has given everything back."""
        with suppress(GpuError):
            self._enter()
            self._ask("cuMemFreeHost", place)

    def copy_to(self, place: int, buffer: Buffer) -> None:
        """Copy pinned memory to a place on the GPU, after what the stream has been given so far.

        Raises:
            GpuError: this, or something before it, failed.
        """
        self._enter()
        self._ask(
            "cuMemcpyHtoDAsync_v2",
            *_words(place, buffer.ctypes.data, buffer.nbytes, self.stream),
        )

    def copy_from(self, buffer: Buffer, place: int) -> None:
        """Copy a place on the GPU to pinned memory, which has it after `wait`.

        Raises:
            GpuError: this, or something before it, failed.
        """
        self._enter()
        self._ask(
            "cuMemcpyDtoHAsync_v2",
            *_words(buffer.ctypes.data, place, buffer.nbytes, self.stream),
        )

    def wait(self) -> None:
        """Until all that the stream has been given is done.

        Raises:
            GpuError: something of it failed.
        """
        self._enter()
        self._ask("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def free_bytes(self) -> int:
        """Memory that is free now; weights that are loaded are not in it.

        Raises:
            GpuError: the driver does not say.
        """
        available, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._enter()
        self._ask("cuMemGetInfo_v2", ctypes.byref(available), ctypes.byref(total))
        return available.value

    def _ask(self, question: str, *arguments: Any) -> None:
        if status := getattr(self._driver, question)(*arguments):
            raise GpuError(question, status)


def _words(*arguments: int) -> Iterator[ctypes.c_uint64]:
    return map(ctypes.c_uint64, arguments)


@functools.cache
def first_gpu() -> Gpu:
    """The GPU, the same each time.

    Raises:
        GpuError: its driver has none.
        OSError: there is no driver.
    """
    return Gpu()
