"""The bundled artifact belongs to the bundled checkpoint and to today's exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact import checkpoint_sha256, export_graphs, structure_sha256
from export.manifest import Manifest, load_manifest
from export.quantize import quantize_graph
from model.checkpoint import load_checkpoint
from model.tokenizer import Tokenizer
from model.transformer import Transformer

REPOSITORY = Path(__file__).parents[2]
CHECKPOINT = REPOSITORY / "model/pretrained/en-it"
ARTIFACT = REPOSITORY / "export/artifacts/en-it"
MAX_BUNDLE_BYTES = 28_000_000


@pytest.fixture(scope="module")
def checkpoint() -> tuple[Transformer, Tokenizer]:
    return load_checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(ARTIFACT)


def test_the_artifact_was_made_from_the_checkpoint(
    checkpoint: tuple[Transformer, Tokenizer], manifest: Manifest
) -> None:
    assert manifest.checkpoint_sha256 == checkpoint_sha256(*checkpoint)


def test_the_exporter_still_writes_the_artifacts_graphs_and_weights(
    checkpoint: tuple[Transformer, Tokenizer], manifest: Manifest
) -> None:
    for name, exported in export_graphs(checkpoint[0], "float32").items():
        fresh = quantize_graph(exported.model)
        assert structure_sha256(fresh) == manifest.graphs[name].structure_sha256, name
        stored = onnx.load(ARTIFACT / manifest.graphs[name].file)
        for ours, theirs in zip(fresh.graph.initializer, stored.graph.initializer, strict=True):
            assert ours.name == theirs.name
            np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))


def test_checkpoint_and_artifact_together_stay_small() -> None:
    files = [path for folder in (CHECKPOINT, ARTIFACT) for path in folder.iterdir()]

    assert sum(path.stat().st_size for path in files) <= MAX_BUNDLE_BYTES


def test_the_model_has_at_most_nine_million_parameters(checkpoint: tuple[Transformer, Tokenizer]) -> None:
    assert sum(parameter.numel() for parameter in checkpoint[0].parameters()) <= 9_000_000
