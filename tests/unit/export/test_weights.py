"""One file holds every large tensor once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.contract.manifest import WEIGHTS_NAME
from export.weights import WeightFile, without_data

LARGE, OTHER = np.arange(100, dtype=np.float32), np.ones(101, np.float32)
SMALL = np.arange(3, dtype=np.float32)


def model_with(**tensors: NDArray[np.float32]) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return helper.make_model(helper.make_graph([], "graph", [], [], initializers))


def store(folder: Path, *models: onnx.ModelProto) -> list[onnx.ModelProto]:
    with (folder / WEIGHTS_NAME).open("wb") as file:
        weights = WeightFile(file)
        return [weights.stored(model) for model in models]


def test_equal_tensors_of_several_graphs_are_stored_once(tmp_path: Path) -> None:
    first, second = model_with(a=LARGE, b=OTHER), model_with(c=OTHER, d=LARGE, e=LARGE)
    stored = store(tmp_path, first, second)
    unaligned = LARGE.nbytes + OTHER.nbytes
    assert unaligned <= (tmp_path / WEIGHTS_NAME).stat().st_size < unaligned + 64
    entries = [tensor for model in stored for tensor in model.graph.initializer]
    offsets = {t.name: int({e.key: e.value for e in t.external_data}["offset"]) for t in entries}
    assert offsets["a"] == offsets["d"] == offsets["e"] != offsets["b"] == offsets["c"]
    assert all(offset % 64 == 0 for offset in offsets.values())


def test_a_graph_reads_its_tensors_back_from_the_file(tmp_path: Path) -> None:
    model = model_with(a=LARGE, small=SMALL, b=OTHER)
    (stored,) = store(tmp_path, model)
    onnx.save(stored, tmp_path / "graph.onnx")
    found = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "graph.onnx").graph.initializer}
    for name, expected in (("a", LARGE), ("small", SMALL), ("b", OTHER)):
        np.testing.assert_array_equal(found[name], expected)


def test_small_tensors_stay_in_the_graph(tmp_path: Path) -> None:
    (stored,) = store(tmp_path, model_with(small=SMALL))
    np.testing.assert_array_equal(numpy_helper.to_array(stored.graph.initializer[0]), SMALL)
    assert (tmp_path / WEIGHTS_NAME).stat().st_size == 0


def test_a_copy_without_data_has_all_else_and_leaves_the_model_as_it_was() -> None:
    model = model_with(a=LARGE)
    before = model.SerializeToString(deterministic=True)
    bare = without_data(model)
    assert model.SerializeToString(deterministic=True) == before
    assert not bare.graph.initializer[0].raw_data
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    assert bare == model
