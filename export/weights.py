"""One weight file for all graphs of an artifact: equal tensors are stored once."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import onnx
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from export.contract.manifest import WEIGHTS_NAME

_ALIGNMENT = 64
_SMALLEST_BYTES = 256


def _all_but(message: type[Message], left_out: set[str]) -> list[str]:
    return [field.name for field in message.DESCRIPTOR.fields if field.name not in left_out]


_STRUCTURE = FieldMask(
    paths=_all_but(onnx.ModelProto, {"graph"})
    + [f"graph.{name}" for name in _all_but(onnx.GraphProto, {"initializer"})]
)
_DATA = {"raw_data", "float_data", "int32_data", "int64_data", "external_data", "data_location"}
_HEADER = FieldMask(paths=_all_but(onnx.TensorProto, _DATA))


def without_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose initializers have name, type and shape alone: they may be half of all memory."""
    bare = onnx.ModelProto()
    _STRUCTURE.MergeMessage(model, bare)
    for tensor in model.graph.initializer:
        _HEADER.MergeMessage(tensor, bare.graph.initializer.add())
    return bare


class WeightFile:
    """Takes the large tensors of several graphs, one at a time.

    Args:
        file: Empty, and open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset_by_digest: dict[bytes, int] = {}

    def stored(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The graph as it is stored beside the file: it refers to what is large of its initializers."""
        stored = without_data(model)
        for tensor, place in zip(model.graph.initializer, stored.graph.initializer, strict=True):
            self._store(tensor, place)
        return stored

    def _store(self, tensor: onnx.TensorProto, place: onnx.TensorProto) -> None:
        data = onnx.numpy_helper.to_array(tensor).tobytes()
        if len(data) < _SMALLEST_BYTES:
            place.CopyFrom(tensor)
            return
        place.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (
            ("location", WEIGHTS_NAME),
            ("offset", str(self._offset(data))),
            ("length", str(len(data))),
        ):
            place.external_data.add(key=key, value=value)

    def _offset(self, data: bytes) -> int:
        digest = hashlib.sha256(data).digest()
        if digest not in self._offset_by_digest:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            self._offset_by_digest[digest] = self._file.tell()
            self._file.write(data)
        return self._offset_by_digest[digest]
