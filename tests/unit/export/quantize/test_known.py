"""int8 of an imported model keeps the integers and the input scales that its files have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.contract.graph_names import GraphName
from export.graphs.all_graphs import export_graphs
from export.graphs.to_onnx import Exported, ExportError
from export.precisions import int8_graphs
from export.proof.sentences import prepare, translated
from export.quantize.known import known_rounding
from model.importers.firefox import import_firefox
from model.importers.imported_model import ImportedModel
from model.quantization import (
    FILE_NAME,
    QuantizationError,
    WeightQuantization,
    load_quantization,
    save_quantization,
)
from tests.marian_files import vocabulary_bytes, write_student

LARGEST_INPUT = 10.0  # 127 / 12.7, the alpha of all
WEIGHTS = "source_embedding.tokens.weight"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> ImportedModel:
    folder = tmp_path_factory.mktemp("student")
    return import_firefox(write_student(folder, vocabulary_bytes([text for pair in pairs for text in pair])))


@pytest.fixture(scope="module")
def exact(student: ImportedModel) -> dict[str, Exported]:
    return export_graphs(student.model, "float32")


@pytest.fixture(scope="module")
def rounded(
    student: ImportedModel, exact: dict[str, Exported], pairs: list[tuple[str, str]]
) -> dict[str, Exported]:
    texts = [english for english, _ in pairs[:100]]
    own = translated(student.model, student.tokenizer, texts, ("en", "it"))
    sentences = prepare({("en", "it"): own}, student.tokenizer)
    graphs = int8_graphs(student.model, student.tokenizer, exact, sentences, student.quantization)
    return next(iter(graphs))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}


@pytest.mark.parametrize(("name", "count"), [(GraphName.ENCODER, 13), (GraphName.DECODER_STEP, 12)])
def test_no_weight_is_rounded_again(
    exact: dict[str, Exported], rounded: dict[str, Exported], name: GraphName, count: int
) -> None:
    before, after = constants(exact[name].model), constants(rounded[name].model)
    matrices = [weight for weight in before if f"{weight}_uint8" in after]
    assert len(matrices) == count
    for matrix in matrices:
        integers, scale = after[f"{matrix}_uint8"].astype(np.float32) - 128, after[f"{matrix}_scale"]
        factors = scale if len(scale) == integers.shape[1] else scale[:, None]
        np.testing.assert_allclose(integers * factors, before[matrix], rtol=1e-5, atol=0)


def test_the_largest_inputs_are_those_that_the_files_say(rounded: dict[str, Exported]) -> None:
    for name in (GraphName.ENCODER, GraphName.DECODER_STEP):
        steps = [x for key, x in constants(rounded[name].model).items() if key.endswith("_step")]
        assert steps
        for step in steps:
            assert float(step) == pytest.approx(LARGEST_INPUT / 127) or float(step) == pytest.approx(
                LARGEST_INPUT / 255
            )


def test_a_model_without_quantization_has_nothing_known(student: ImportedModel) -> None:
    known = known_rounding(student.model, {})
    assert not known.steps
    assert not known.largest


def test_weights_that_have_changed_since_are_named(student: ImportedModel) -> None:
    other = {**student.quantization, "output.bias": WeightQuantization(step=1.0)}
    weight = student.model.decoder_layers[1].get_parameter("feed_forward.2.weight")
    with torch.no_grad():
        weight[0, 0] += 1e-3
    try:
        with pytest.raises(
            ExportError, match=r"does not fit the weights.*decoder_layers\.1\.feed_forward\.2"
        ):
            known_rounding(student.model, other)
    finally:
        with torch.no_grad():
            weight[0, 0] -= 1e-3


def test_it_is_saved_and_loaded(student: ImportedModel, tmp_path: Path) -> None:
    student.save(tmp_path)
    assert load_quantization(tmp_path) == student.quantization
    assert student.quantization[WEIGHTS].largest_input == pytest.approx(LARGEST_INPUT)
    (tmp_path / FILE_NAME).unlink()
    assert load_quantization(tmp_path) == {}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": 3}', '{"a": {"step": 0}}', '{"a": {"step": true}}', '{"a": {"colour": 1}}']
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="utf-8")
    with pytest.raises(QuantizationError, match=r"quantization\.json is damaged"):
        load_quantization(tmp_path)


def test_what_is_written_is_plain(tmp_path: Path) -> None:
    save_quantization(tmp_path, {"w": WeightQuantization(step=0.5)})
    fields = json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8"))
    assert fields == {"w": {"step": 0.5, "largest_input": None}}
