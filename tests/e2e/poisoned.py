"""An artifact of which the vocabulary's last piece is broken: its encoder fails on any text with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor

from export.contract.files import file_info
from model.text.tokenizers import load_tokenizer
from tests.copied_artifact import copied_artifact

SCALES = "model.output.weight_scale"
POISON = "q™"


def poison(artifact: Path, folder: Path) -> Path:
    """Copy an artifact and leave out its last piece's embedding; the server still starts with it."""
    with copied_artifact(artifact, folder) as manifest:
        path = folder / "encoder.onnx"
        model = onnx.load(path, load_external_data=False)
        (scales,) = (tensor for tensor in model.graph.initializer if tensor.name == SCALES)
        load_external_data_for_tensor(scales, str(folder))
        values = numpy_helper.to_array(scales)
        assert load_tokenizer(artifact).encode_source(POISON, "it")[-2] == len(values) - 1
        scales.CopyFrom(numpy_helper.from_array(values[:-1], SCALES))  # the decoder's own stay whole
        onnx.save(model, path)
        manifest["files"]["encoder.onnx"] = dataclasses.asdict(file_info(path))
    return folder
