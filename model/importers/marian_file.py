"""What a file of Marian's holds, in whichever format: tensors by name, and the network's options.

Knows nothing of what a tensor is for.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from model.importers.errors import ForeignModelError

OPTIONS_NAME = "special:model.yml"
EMBEDDINGS_MARK = "Wemb"  # intgemm stores such matrices as they are, all others transposed
FLOAT32, INT8, INTGEMM8 = "float32", "int8", "intgemm8"
_LARGEST_INTEGER = 127


@dataclass(frozen=True, kw_only=True)
class MarianTensor:
    """One entry of a file.

    Args:
        kind: float32, int8 or intgemm8.
        shape: As the file has it: of a matrix (in, out).
        data: Its bytes, little-endian, without padding.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def values(self) -> NDArray[np.float32]:
        """The tensor in its shape; of intgemm8 each integer divided by the one multiplier.

        Raises:
            ForeignModelError: A value is no number, or an integer or the multiplier is out of range.
        """
        if self.kind != INTGEMM8:
            return self._floats()
        integers = np.frombuffer(self.data, np.int8, math.prod(self.shape))
        if integers.min() < -_LARGEST_INTEGER:
            raise ForeignModelError(f"{self.name} has the integer {integers.min()}, must be at least -127")
        with np.errstate(over="ignore"):
            stored: NDArray[np.float32] = integers.astype(np.float32) / np.float32(self.multiplier)
        if not np.isfinite(stored).all():
            raise ForeignModelError(
                f"{self.name} has the multiplier {self.multiplier}, too small for its values"
            )
        if EMBEDDINGS_MARK in self.name or len(self.shape) != 2:
            return stored.reshape(self.shape)
        return stored.reshape(self.shape[::-1]).T

    @property
    def is_integer(self) -> bool:
        """Whether it holds integers and a multiplier."""
        return self.kind == INTGEMM8

    @property
    def multiplier(self) -> float:
        """What intgemm8 multiplied its values with before it rounded them.

        Raises:
            ForeignModelError: It is no number above 0.
        """
        assert self.kind == INTGEMM8, "of other tensors there is none"
        (multiplier,) = struct.unpack_from("<f", self.data, math.prod(self.shape))
        if not (math.isfinite(multiplier) and multiplier > 0):
            raise ForeignModelError(f"{self.name} has the multiplier {multiplier}, must be a number above 0")
        return float(multiplier)

    def _floats(self) -> NDArray[np.float32]:
        if self.kind != FLOAT32:
            raise ForeignModelError(f"{self.name} is {self.kind}, must be float32 or intgemm8")
        values = np.frombuffer(self.data, "<f4").astype(np.float32).reshape(self.shape)
        if not np.isfinite(values).all():
            raise ForeignModelError(f"{self.name} has a value that is no number")
        return values


@dataclass(frozen=True, kw_only=True)
class MarianFile:
    """A file's tensors by name, and its options."""

    tensors: dict[str, MarianTensor]
    options: dict[str, Any]


def options_of(tensor: MarianTensor | None) -> dict[str, Any]:
    """The options in the entry `OPTIONS_NAME`.

    Raises:
        ForeignModelError: There is no such entry, or it is damaged.
    """
    if tensor is None or tensor.kind != INT8:
        raise ForeignModelError(f"no {OPTIONS_NAME}: the network's options are not in the file")
    try:
        options = yaml.safe_load(tensor.data.rstrip(b"\0").decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ForeignModelError(f"damaged: {OPTIONS_NAME} is no YAML") from error
    if not isinstance(options, dict):
        raise ForeignModelError(f"damaged: {OPTIONS_NAME} is no mapping of options to values")
    return options
