"""Arrays side by side in one buffer, so that a single copy takes them all to a device or back."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 256  # bytes: what CUDA aligns its own allocations to, and kernels may rely on

Buffer = NDArray[np.uint8]


def zeros(num_bytes: int) -> Buffer:
    """A buffer in main memory."""
    return np.zeros(num_bytes, np.uint8)


class Packing:
    """Where arrays are in a buffer of bytes.

    Args:
        arrays: Shape and dtype of each, by name.

    >>> packing = Packing({"token": ((2, 3), "int64"), "score": ((5,), "float32")})
    >>> packing.num_bytes, packing.offsets
    (276, {'token': 0, 'score': 256})
    """

    def __init__(self, arrays: Mapping[str, tuple[tuple[int, ...], Any]]) -> None:
        self._arrays = {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in arrays.items()}
        self.offsets: dict[str, int] = {}
        self.num_bytes = 0
        for name, (shape, dtype) in self._arrays.items():
            self.offsets[name] = -(-self.num_bytes // _ALIGNMENT) * _ALIGNMENT
            self.num_bytes = self.offsets[name] + prod(shape) * dtype.itemsize

    def views(self, buffer: Buffer) -> dict[str, Any]:
        """The arrays in such a buffer, by name; what is written to one is in the buffer."""
        return {
            name: buffer[start : start + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
            for (name, (shape, dtype)), start in zip(self._arrays.items(), self.offsets.values(), strict=True)
        }
