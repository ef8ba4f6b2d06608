"""One weight file for all graphs of an artifact: equal tensors are stored once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from export.contract.manifest import WEIGHTS_NAME

_ALIGNMENT = 64
_SMALLEST_BYTES = 256


class WeightFile:
    """Collects the large tensors of several graphs and writes them to one file."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._offset_by_digest: dict[bytes, int] = {}

    def move(self, model: onnx.ModelProto) -> None:
        """Move a graph's large initializers here; the graph then refers to the file."""
        for tensor in model.graph.initializer:
            data = onnx.numpy_helper.to_array(tensor).tobytes()
            if len(data) < _SMALLEST_BYTES:
                continue
            offset = self._offset(data)
            for field in ("raw_data", "float_data", "int32_data", "int64_data"):
                tensor.ClearField(field)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            del tensor.external_data[:]
            for key, value in (
                ("location", WEIGHTS_NAME),
                ("offset", str(offset)),
                ("length", str(len(data))),
            ):
                tensor.external_data.add(key=key, value=value)

    def _offset(self, data: bytes) -> int:
        digest = hashlib.sha256(data).digest()
        if digest not in self._offset_by_digest:
            self._content += bytes(-len(self._content) % _ALIGNMENT)
            self._offset_by_digest[digest] = len(self._content)
            self._content += data
        return self._offset_by_digest[digest]

    def write(self, folder: Path) -> None:
        """Write the file into an artifact's folder."""
        (folder / WEIGHTS_NAME).write_bytes(self._content)
