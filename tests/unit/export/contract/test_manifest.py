"""An artifact is read whole and proven, or refused with what is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from export.contract.files import file_info
from export.contract.graph_names import GraphName
from export.contract.manifest import (
    MANIFEST_NAME,
    PROOF_NAME,
    SCHEMA_VERSION,
    WEIGHTS_NAME,
    ArtifactError,
    AttentionInfo,
    GraphInfo,
    Manifest,
    SelfCheck,
    load_manifest,
)
from export.contract.tensors import TensorSpec
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import TargetLimit
from model.text.sentencepiece_tokenizer import FILE_NAME as TOKENIZER_NAME
from model.text.special_ids import SpecialIds

CONTENT = {
    f"{GraphName.ENCODER}.onnx": b"encoder",
    f"{GraphName.DECODER_STEP}.onnx": b"step",
    PROOF_NAME: b"{}",
    TOKENIZER_NAME: b"pieces",
    WEIGHTS_NAME: b"weights",
}
CACHE = TensorSpec(name="self_key_0", dtype="float32", shape=("hypotheses", 4, "columns", 8))
MEMORY = TensorSpec(name="cross_key_0", dtype="float32", shape=("rows", 4, "source_capacity", 8))
TOKEN = TensorSpec(name="token", dtype="int64", shape=("rows", "beam"))
GRAPHS = (
    GraphName.ENCODER,
    GraphName.DECODER_STEP,
    GraphName.LOG_PROBS,
    GraphName.CANDIDATES,
    GraphName.COPY_CACHES,
)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Of an artifact in the test's folder, complete but for manifest.json."""
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    graph = GraphInfo(
        file=f"{GraphName.DECODER_STEP}.onnx",
        inputs=(TOKEN, CACHE, MEMORY),
        outputs=(CACHE,),
        structure_sha256="0" * 64,
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name="città",
        architecture="transformer",
        precision="fp32",
        language_pairs=(("en", "it"), ("it", "en")),
        vocabulary_size=600,
        special_ids=SpecialIds(padding=0, unknown=1, start=2, end=3),
        max_source_tokens=256,
        max_target_tokens=128,
        devices=("cpu", "cuda"),
        caches=(CACHE,),
        states=(),
        memory=(MEMORY,),
        has_capacities=False,
        attention=AttentionInfo(num_layers=2, num_heads=4, default_layer=1, anchor_accuracy=(0.25, 0.5)),
        graphs=dict.fromkeys(GRAPHS, graph),
        self_check=SelfCheck(source=(4, 9, 3), max_target_tokens=16, greedy=(8, 3), beam_size=4, beam=(7, 3)),
        checkpoint_sha256="1" * 64,
        produced_with={"torch": "2.13.0"},
        files={name: file_info(tmp_path / name) for name in CONTENT},
    )


@pytest.fixture
def write(tmp_path: Path, manifest: Manifest) -> Callable[..., None]:
    """Write manifest.json with some fields changed; None takes a field out."""

    def write(**fields: object) -> None:
        content = json.loads(manifest.to_json()) | fields
        kept = {name: value for name, value in content.items() if value is not None}
        (tmp_path / MANIFEST_NAME).write_text(json.dumps(kept), encoding="utf-8")

    return write


def test_a_manifest_reads_back_as_itself(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    found = load_manifest(tmp_path)
    assert found == manifest
    assert found.digest() == hashlib.sha256((tmp_path / MANIFEST_NAME).read_bytes()).hexdigest()


def test_the_digest_changes_with_any_file(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / PROOF_NAME).write_bytes(b"[]")
    files = manifest.files | {PROOF_NAME: file_info(tmp_path / PROOF_NAME)}
    assert dataclasses.replace(manifest, files=files).digest() != manifest.digest()


def test_damaged_and_missing_files_are_all_named_with_both_hashes(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    write()
    (tmp_path / f"{GraphName.ENCODER}.onnx").write_bytes(b"other")
    (tmp_path / f"{GraphName.DECODER_STEP}.onnx").unlink()
    with pytest.raises(ArtifactError) as caught:
        load_manifest(tmp_path)
    found, expected = (hashlib.sha256(content).hexdigest() for content in (b"other", b"encoder"))
    message = str(caught.value)
    assert f"{GraphName.ENCODER}.onnx has sha256 {found} (5 bytes), must have {expected} (7 bytes)" in message
    assert f"{GraphName.DECODER_STEP}.onnx is missing" in message


def test_an_artifact_without_its_proof_is_refused(
    tmp_path: Path, manifest: Manifest, write: Callable[..., None]
) -> None:
    files = {name: dataclasses.asdict(info) for name, info in manifest.files.items() if name != PROOF_NAME}
    write(files=files)
    with pytest.raises(ArtifactError, match=r"no proof\.json: an artifact without its proof is not served"):
        load_manifest(tmp_path)


def test_a_graph_without_a_hash_is_refused(
    tmp_path: Path, manifest: Manifest, write: Callable[..., None]
) -> None:
    name = f"{GraphName.DECODER_STEP}.onnx"
    write(files={key: dataclasses.asdict(info) for key, info in manifest.files.items() if key != name})
    with pytest.raises(ArtifactError, match=name):
        load_manifest(tmp_path)


def test_a_model_without_caches_has_nothing_to_copy(tmp_path: Path, manifest: Manifest) -> None:
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != GraphName.COPY_CACHES}
    recurrent = dataclasses.replace(manifest, caches=(), graphs=graphs)
    (tmp_path / MANIFEST_NAME).write_text(recurrent.to_json(), encoding="utf-8")
    assert load_manifest(tmp_path) == recurrent


def test_another_schema_is_refused_with_both_versions(tmp_path: Path, write: Callable[..., None]) -> None:
    write(schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(ArtifactError, match=r"has schema version 7, this version reads 4, 5, 6"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"precision": None}, "precision"),
        ({"colour": "red"}, "colour"),
        ({"self_check": {"source": [1]}}, "greedy|max_target_tokens"),
        ({"graphs": {}}, "graphs lacks candidates, decoder_step, encoder, log_probs"),
        ({"schema_version": None}, "schema_version"),
    ],
    ids=["missing", "unknown", "nested", "graphs", "no-version"],
)
def test_a_damaged_manifest_says_what_is_wrong(
    tmp_path: Path, write: Callable[..., None], fields: dict[str, object], fault: str
) -> None:
    write(**fields)
    with pytest.raises(ArtifactError, match=f"damaged: .*{fault}"):
        load_manifest(tmp_path)


def test_what_is_no_manifest_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no artifact: it has no manifest\.json"):
        load_manifest(tmp_path)
    for content in ("{", "[]", "3"):
        (tmp_path / MANIFEST_NAME).write_text(content, encoding="utf-8")
        with pytest.raises(ArtifactError, match="is damaged"):
            load_manifest(tmp_path)


def test_version_5_is_read_and_keeps_its_digest(tmp_path: Path, manifest: Manifest) -> None:
    old = json.loads(manifest.to_json()) | {"schema_version": 5, "target_limit": {"factor": 3.0, "extra": 1}}
    del old["length_penalty"]
    content = json.dumps(old, indent=1, ensure_ascii=False) + "\n"
    (tmp_path / MANIFEST_NAME).write_text(content, encoding="utf-8")
    found = load_manifest(tmp_path)
    assert found.target_limit == TargetLimit(factor=3.0, extra=1)
    assert found.length_penalty == LengthPenalty()
    assert found.digest() == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize("states", [(), (dataclasses.replace(CACHE, name="state_hidden"),)])
def test_version_4_is_read_and_keeps_its_digest(
    tmp_path: Path, manifest: Manifest, states: tuple[TensorSpec, ...]
) -> None:
    old = json.loads(dataclasses.replace(manifest, states=states).to_json()) | {"schema_version": 4}
    del old["multiplies_states"], old["target_limit"], old["length_penalty"]
    content = json.dumps(old, indent=1, ensure_ascii=False) + "\n"
    (tmp_path / MANIFEST_NAME).write_text(content, encoding="utf-8")
    found = load_manifest(tmp_path)
    assert found.multiplies_states == bool(states)
    assert found.target_limit == TargetLimit(factor=2.0, extra=16)
    assert found.digest() == hashlib.sha256(content.encode()).hexdigest()


def test_a_model_whose_states_are_multiplied_by_none_multiplies_integers_alone(manifest: Manifest) -> None:
    in_int8 = dataclasses.replace(manifest, precision="int8", states=manifest.caches)
    assert in_int8.multiplies_integers
    assert not dataclasses.replace(in_int8, multiplies_states=True).multiplies_integers
    assert not dataclasses.replace(in_int8, precision="fp32").multiplies_integers


def test_an_impossible_length_penalty_is_damage(tmp_path: Path, write: Callable[..., None]) -> None:
    write(length_penalty={"kind": "power", "alpha": 0.6})
    assert load_manifest(tmp_path).length_penalty == LengthPenalty(kind="power", alpha=0.6)
    write(length_penalty={"kind": "power", "alpha": 60})
    with pytest.raises(ArtifactError, match="damaged: length_penalty: alpha is 60"):
        load_manifest(tmp_path)


def test_an_impossible_target_limit_is_damage(tmp_path: Path, write: Callable[..., None]) -> None:
    write(target_limit={"factor": 0.0, "extra": 0})
    with pytest.raises(ArtifactError, match="damaged: target_limit: a target limit of"):
        load_manifest(tmp_path)
