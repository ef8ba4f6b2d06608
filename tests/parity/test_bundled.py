"""Each bundled artifact belongs to its checkpoint and to today's exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.contract.graph_names import GraphName
from export.contract.manifest import Manifest, load_manifest
from export.describe import checkpoint_sha256, structure_sha256
from export.graphs.all_graphs import export_graphs
from export.precisions import int8_graphs
from export.proof.sentences import prepare
from model.checkpoint import load_checkpoint
from model.networks.encoder_decoder import EncoderDecoder
from model.text.tokenizer import Tokenizer

REPOSITORY = Path(__file__).parents[2]
MAX_BYTES = {"en-it": 30_000_000, "en-it-lstm": 6_000_000}
MAX_PARAMETERS = {"en-it": 9_000_000, "en-it-lstm": 2_000_000}
Checkpoint = tuple[EncoderDecoder, Tokenizer]


@pytest.fixture(scope="module", params=sorted(MAX_BYTES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def checkpoint(name: str) -> Checkpoint:
    return load_checkpoint(REPOSITORY / "model/pretrained" / name)


@pytest.fixture(scope="module")
def artifact(name: str) -> Path:
    return REPOSITORY / "export/artifacts" / name


@pytest.fixture(scope="module")
def manifest(artifact: Path) -> Manifest:
    return load_manifest(artifact)


def test_the_artifact_was_made_from_the_checkpoint(
    name: str, checkpoint: Checkpoint, manifest: Manifest
) -> None:
    assert manifest.name == name
    assert manifest.checkpoint_sha256 == checkpoint_sha256(*checkpoint)


def test_the_exporter_still_writes_the_artifacts_graphs_and_weights(
    checkpoint: Checkpoint, artifact: Path, manifest: Manifest, pairs: list[tuple[str, str]]
) -> None:
    model, tokenizer = checkpoint
    exact, sentences = export_graphs(model, "float32"), prepare(pairs, tokenizer)
    exported = next(iter(int8_graphs(model, tokenizer, exact, sentences)))
    assert exported.keys() == manifest.graphs.keys() - {
        GraphName.DECODER_HIDDEN,
        GraphName.OUTPUT_COLUMNS,
        GraphName.SHORTLIST_LOGITS,
    }
    pools = {f"{spec.name}_scale" for spec in (*manifest.caches, *manifest.memory)}
    for graph, fresh in exported.items():
        assert structure_sha256(fresh.model) == manifest.graphs[graph].structure_sha256, graph
        stored = onnx.load(artifact / manifest.graphs[graph].file)
        for ours, theirs in zip(fresh.model.graph.initializer, stored.graph.initializer, strict=True):
            assert ours.name == theirs.name
            found, expected = numpy_helper.to_array(ours), numpy_helper.to_array(theirs)
            # Constant scales are measured: another processor may round what PyTorch computes otherwise.
            is_measured = ours.name.endswith("_step") or ours.name in pools
            np.testing.assert_allclose(found, expected, rtol=1e-4 if is_measured else 0, atol=0)


def test_checkpoint_and_artifact_together_stay_small(name: str, artifact: Path) -> None:
    files = [
        path for folder in (REPOSITORY / "model/pretrained" / name, artifact) for path in folder.iterdir()
    ]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES[name]


def test_the_model_stays_within_its_number_of_parameters(name: str, checkpoint: Checkpoint) -> None:
    assert sum(parameter.numel() for parameter in checkpoint[0].parameters()) <= MAX_PARAMETERS[name]
