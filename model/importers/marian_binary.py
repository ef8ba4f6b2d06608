"""Marian's binary model files, version 1: named tensors, and the options that say what network they make.

Knows the format alone, and nothing of what a tensor is for. A file is checked to its last byte before
anything of it is used; what pads a tensor is never read, for Marian leaves there whatever memory held.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.importers.errors import ForeignModelError, named
from model.importers.marian_file import (
    FLOAT32,
    INT8,
    INTGEMM8,
    OPTIONS_NAME,
    MarianFile,
    MarianTensor,
    options_of,
)

VERSION = 1
_ALIGNMENT = 256
_MAX_AXES = 8
_TYPES = {0x404: FLOAT32, 0x101: INT8, 0x4101: INTGEMM8}
_OTHER_TYPES = {
    0x102: "int16",
    0x104: "int32",
    0x108: "int64",
    0x201: "uint8",
    0x202: "uint16",
    0x204: "uint32",
    0x208: "uint64",
    0x402: "float16",
    0x408: "float64",
    0x4102: "intgemm16",
    0x802: "packed16",
    0x1801: "packed8avx2",
    0x2801: "packed8avx512",
}


def read_marian_binary(path: Path) -> MarianFile:
    """Read a binary model file.

    Raises:
        ForeignModelError: It is missing, damaged, of another version, or holds a type of tensor that is not
            supported; the message names the file and what is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    tensors = named(path, lambda: {tensor.name: tensor for tensor in _tensors(_Reader(content))})
    options = tensors.pop(OPTIONS_NAME, None)
    return MarianFile(options=named(path, lambda: options_of(options)), tensors=tensors)


class _Reader:
    """Takes one part of a file after the other, and nothing that is not there."""

    def __init__(self, content: bytes) -> None:
        self._content, self._position = content, 0

    @property
    def num_remaining(self) -> int:
        return len(self._content) - self._position

    @property
    def position(self) -> int:
        return self._position

    def take(self, num_bytes: int, what: str) -> bytes:
        if num_bytes > self.num_remaining:
            raise ForeignModelError(
                f"damaged: {what} need {num_bytes} bytes at byte {self._position}, "
                f"the file ends after {self.num_remaining}"
            )
        start, self._position = self._position, self._position + num_bytes
        return self._content[start : self._position]

    def numbers(self, count: int, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.take(8 * count, what))


def _tensors(reader: _Reader) -> Iterator[MarianTensor]:
    version, count = reader.numbers(2, "version and number of tensors")
    if version != VERSION:
        raise ForeignModelError(f"not a Marian model, or of version {version}: must be version {VERSION}")
    if count > reader.num_remaining // 32:
        raise ForeignModelError(f"damaged: it announces {count} tensors in {reader.num_remaining} bytes")
    headers = [reader.numbers(4, "a tensor's sizes") for _ in range(count)]
    names = [_name(reader.take(length, "a tensor's name")) for length, *_ in headers]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ForeignModelError(f"damaged: twice the tensor {', '.join(twice)}")
    shapes = [_shape(reader, name, axes) for name, (_, _, axes, _) in zip(names, headers, strict=True)]
    (padding,) = reader.numbers(1, "the data's offset")
    reader.take(padding, "the padding before the data")
    if reader.position % _ALIGNMENT:
        raise ForeignModelError(
            f"damaged: the data begin at byte {reader.position}, no multiple of {_ALIGNMENT}"
        )
    for name, shape, (_, code, _, num_bytes) in zip(names, shapes, headers, strict=True):
        kind = _kind(name, code)
        needed = _needed_bytes(kind, shape)
        if num_bytes not in {needed, -(-needed // _ALIGNMENT) * _ALIGNMENT}:
            raise ForeignModelError(
                f"damaged: {name}, {kind} of shape {shape}, has {num_bytes} bytes, must have {needed}"
            )
        data = reader.take(num_bytes, f"the values of {name}")[:needed]
        yield MarianTensor(name=name, kind=kind, shape=shape, data=data)
    if reader.num_remaining:
        raise ForeignModelError(f"damaged: {reader.num_remaining} bytes behind the last tensor")


def _name(content: bytes) -> str:
    try:
        name = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ForeignModelError(f"damaged: a tensor's name is {content!r}") from error
    if len(name) < 2 or not name.endswith("\0") or not name[:-1].isprintable():
        raise ForeignModelError(f"damaged: a tensor's name is {name!r}")
    return name[:-1]


def _shape(reader: _Reader, name: str, num_axes: int) -> tuple[int, ...]:
    if not 1 <= num_axes <= _MAX_AXES:
        raise ForeignModelError(f"damaged: {name} has {num_axes} axes, must have 1 to {_MAX_AXES}")
    shape = struct.unpack(f"<{num_axes}i", reader.take(4 * num_axes, f"the shape of {name}"))
    if min(shape) < 1:
        raise ForeignModelError(f"damaged: {name} has the shape {shape}")
    return shape


def _kind(name: str, code: int) -> str:
    if code in _TYPES:
        return _TYPES[code]
    if code in _OTHER_TYPES:
        supported = ", ".join(_TYPES.values())
        raise ForeignModelError(f"{name} is {_OTHER_TYPES[code]}, only {supported} are supported")
    raise ForeignModelError(f"damaged: {name} has the type {code:#x}")


def _needed_bytes(kind: str, shape: Sequence[int]) -> int:
    size = math.prod(shape)
    return {FLOAT32: 4 * size, INT8: size, INTGEMM8: size + 4}[kind]
