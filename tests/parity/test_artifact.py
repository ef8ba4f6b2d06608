"""Artifacts of each precision: proven, complete, or not there at all."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.artifact import build_artifact
from export.contract.graph_names import GraphName
from export.contract.manifest import PROOF_NAME, WEIGHTS_NAME, Manifest, load_manifest
from export.describe import structure_sha256
from export.graphs.all_graphs import export_encoder
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import ExportError
from export.limits import Limits
from export.proof.checks import ProofError
from export.proof.graph_model import GraphModel, GraphScorer
from model.checkpoint import unique_weights
from model.networks.recurrent import Recurrent
from model.networks.transformer import EncoderLayer, Transformer
from model.searches.beam_search import Scorer, beam_search, greedy_search
from model.text.sentencepiece_tokenizer import train_tokenizer
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer

Build = Callable[[str], Path]
LIMITS = Limits(max_source_tokens=40, max_target_tokens=50)
SHALLOW = {"num_encoder_layers": 1, "num_decoder_layers": 1}

every_precision = pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])


@pytest.fixture(scope="session")
def shallow_model(make_model: Callable[..., Transformer]) -> Transformer:
    return make_model(**SHALLOW)


@pytest.fixture(scope="session")
def build(
    shallow_model: Transformer,
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Build:
    """The folder of an artifact of some precision, built once."""

    @functools.cache
    def build(precision: str) -> Path:
        output = tmp_path_factory.mktemp("artifacts") / f"tiny-{precision}"
        build_artifact(
            shallow_model, tokenizer, output, precision=precision, pairs=short_pairs, limits=LIMITS
        )
        return output

    return build


def read_proof(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / PROOF_NAME).read_text(encoding="utf-8"))
    return content


@every_precision
def test_a_proven_artifact_loads(build: Build, tokenizer: Tokenizer, precision: str) -> None:
    folder = build(precision)
    manifest = load_manifest(folder)
    assert (manifest.name, manifest.precision) == (folder.name, precision)
    assert set(manifest.language_pairs) == {("en", "it"), ("it", "en")}
    assert (manifest.max_source_tokens, manifest.max_target_tokens) == (40, 50)
    assert manifest.devices == (("cuda", "cpu") if precision == "fp16" else ("cpu",))
    for_a_gpu = set() if precision == "int8" else {GraphName.COPY_CACHES}
    assert (
        manifest.graphs.keys()
        == {
            GraphName.ENCODER,
            GraphName.DECODER_STEP,
            GraphName.LOG_PROBS,
            GraphName.CANDIDATES,
            GraphName.ATTENTION,
        }
        | for_a_gpu
    )
    assert {path.name for path in folder.iterdir()} == {*manifest.files, "manifest.json"}
    assert {path.stem for path in folder.glob("*.onnx")} == manifest.graphs.keys()
    assert load_tokenizer(folder).serialized == tokenizer.serialized
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@every_precision
def test_its_self_check_can_be_repeated(build: Build, shallow_model: Transformer, precision: str) -> None:
    manifest: Manifest = load_manifest(build(precision))
    check = manifest.self_check
    source, most = list(check.source), check.max_target_tokens
    pools = graphs_of(shallow_model).pools.as_in(manifest.graphs[GraphName.DECODER_STEP].inputs)
    dtypes = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
    assert {spec.dtype for spec in (*manifest.caches, *manifest.memory)} == {dtypes[precision]}
    graphs = GraphModel(build(precision), pools, manifest.special_ids)
    scorers: list[Scorer] = [GraphScorer(graphs, 1, 64), GraphScorer(graphs, check.beam_size, 64)]
    if precision == "fp32":
        scorers += [shallow_model, shallow_model]
    for greedy, beam in zip(scorers[::2], scorers[1::2], strict=True):
        assert greedy_search(greedy, source, most).token_ids == check.greedy
        assert beam_search(beam, source, check.beam_size, most)[0].token_ids == check.beam


@every_precision
def test_its_proof_states_what_was_checked(build: Build, precision: str) -> None:
    found = read_proof(build(precision))
    measured = {check["name"]: check["measured"] for check in found["checks"]}
    expected = ["positions", "causal_mask", "cache_rows", "source_mask", "beams", "greedy_text", "beam_text"]
    expected += ["candidates", "hidden", "attention", "attention_mask"]
    assert measured.keys() >= {*expected, "neighbours", "neighbours_in_beams"}
    assert all(check["passed"] for check in found["checks"])
    assert found["num_sentences"] == 200


@every_precision
def test_neighbours_change_not_one_bit(build: Build, precision: str) -> None:
    measured = {check["name"]: check["measured"] for check in read_proof(build(precision))["checks"]}
    assert (measured["neighbours"], measured["neighbours_in_beams"]) == (0, 0)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_precision_states_its_distance_to_fp32(build: Build, precision: str) -> None:
    distance = read_proof(build(precision))["distance_to_fp32"]
    assert 0 < distance["log_prob_difference_mean"] <= distance["log_prob_difference_max"] < 2
    assert 0 < distance["identical_translations_ratio"] <= 1
    assert 0 <= distance["bleu"] <= 100
    assert 0 <= distance["fp32_bleu"] <= 100


def test_fp16_is_nearer_to_fp32_than_int8(build: Build) -> None:
    half, integer = (read_proof(build(precision))["distance_to_fp32"] for precision in ("fp16", "int8"))
    assert half["log_prob_difference_max"] < integer["log_prob_difference_max"]


def test_all_graphs_share_one_copy_of_the_weights(build: Build, shallow_model: Transformer) -> None:
    num_bytes = sum(weight.nbytes for weight in unique_weights(shallow_model).values())
    for precision, share in (("fp32", 1), ("fp16", 1 / 2), ("int8", 1 / 4)):
        found = (build(precision) / WEIGHTS_NAME).stat().st_size
        assert found < 1.25 * share * num_bytes


def test_the_structure_depends_on_the_architecture_alone(
    build: Build, make_model: Callable[..., Transformer]
) -> None:
    other = export_encoder(graphs_of(make_model(seed=1, **SHALLOW)), "float32")
    fp32, int8 = (load_manifest(build(precision)).graphs[GraphName.ENCODER] for precision in ("fp32", "int8"))
    assert structure_sha256(other.model) == fp32.structure_sha256 != int8.structure_sha256


def test_a_refused_artifact_leaves_what_was_there_before(
    shallow_model: Transformer, tokenizer: Tokenizer, short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    output = tmp_path / "artifact"
    output.mkdir()
    (output / "older").touch()
    with pytest.raises(ProofError, match=r"refuses this artifact: bleu_loss: .*, limit -1000 "):
        build_artifact(
            shallow_model,
            tokenizer,
            output,
            precision="int8",
            pairs=short_pairs,
            limits=LIMITS,
            max_bleu_loss=-1000,
        )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["artifact", "older"]


@torch.inference_mode()
def fragile(model: Transformer, sources: Sequence[Sequence[int]]) -> Transformer:
    """The same model, but for a unit between its layers that is zero nearly always and else very large.

    One scale for all rows then leaves of the other units nothing, one for each row nearly all.
    """
    changed = copy.deepcopy(model)
    layer = changed.encoder_layers[0]
    assert isinstance(layer, EncoderLayer)
    before, after = (linear for linear in layer.feed_forward.modules() if isinstance(linear, nn.Linear))
    found: list[Tensor] = []
    hook = before.register_forward_hook(lambda _, __, values: found.append(values[0, :, 0]))
    for source in sources:
        changed.encode(torch.tensor([source]))
    hook.remove()
    before.bias[0] -= torch.cat(found).quantile(0.99)
    before.weight[0] *= 2**15
    before.bias[0] *= 2**15
    after.weight[:, 0] /= 2**15
    return changed


def test_a_model_that_does_not_bear_constant_scales_gets_those_by_row(
    shallow_model: Transformer,
    build: Build,
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    """Its references are its own translations, so that a worse one shows."""
    sources = [tokenizer.encode_source(text, "it") for text, _ in short_pairs]
    model = fragile(shallow_model, sources)
    targets = [greedy_search(model, source, LIMITS.max_target_tokens).token_ids for source in sources]
    pairs = [
        (text, tokenizer.detokenize(target)) for (text, _), target in zip(short_pairs, targets, strict=True)
    ]
    manifest = build_artifact(
        model,
        tokenizer,
        tmp_path / "new",
        precision="int8",
        pairs=pairs,
        limits=LIMITS,
        max_bleu_loss=15,  # one form loses 23, the other one 7
    )
    ordinary = load_manifest(build("int8"))
    for name in (GraphName.ENCODER, GraphName.DECODER_STEP):
        assert manifest.graphs[name].structure_sha256 != ordinary.graphs[name].structure_sha256
    assert {spec.dtype for spec in (*manifest.caches, *manifest.memory)} == {"float32"}
    assert manifest.graphs.keys() - ordinary.graphs.keys() == {GraphName.COPY_CACHES}
    nodes = {n.op_type for n in onnx.load(tmp_path / "new/encoder.onnx", load_external_data=False).graph.node}
    assert nodes >= {"ReduceMax", "Relu"}, "what a ReLU gives has a scale for each row"
    (loss,) = (check for check in read_proof(tmp_path / "new")["checks"] if check["name"] == "bleu_loss")
    assert loss["measured"] < 15


def test_too_few_sentences_prove_nothing(
    shallow_model: Transformer, tokenizer: Tokenizer, short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    with pytest.raises(ProofError, match="99 sentence pairs of en and it, the proof needs at least 100"):
        build_artifact(
            shallow_model, tokenizer, tmp_path / "new", precision="fp32", pairs=short_pairs[1:], limits=LIMITS
        )
    assert not list(tmp_path.iterdir())


def test_a_model_of_three_languages_serves_those_that_were_proven(
    shallow_model: Transformer, short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    text = (sentence for pair in short_pairs for sentence in pair)
    tokenizer = train_tokenizer(text, shallow_model.config.vocabulary_size, ("en", "it", "vec"))
    prove = functools.partial(build_artifact, shallow_model, tokenizer, precision="fp32", limits=LIMITS)
    with pytest.raises(ProofError, match="languages en, it, vec: name the two of each file"):
        prove(tmp_path / "new", pairs=short_pairs)
    with pytest.raises(ProofError, match="languages en, it, vec, not de"):
        prove(tmp_path / "new", pairs={("en", "de"): short_pairs})
    manifest = prove(tmp_path / "new", pairs={("en", "it"): short_pairs, ("vec", "it"): short_pairs})
    assert manifest.language_pairs == (("en", "it"), ("it", "en"), ("vec", "it"), ("it", "vec"))
    proof = json.loads((tmp_path / "new/proof.json").read_text())
    assert proof["num_sentences"] == 4 * len(short_pairs)


def test_limits_beyond_the_learned_positions_are_refused(
    make_model: Callable[..., Transformer],
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    model = make_model(positions="learned", max_positions=48)
    with pytest.raises(ExportError, match="the limit of 50 tokens is more than the 48 that the learned"):
        build_artifact(model, tokenizer, tmp_path / "new", precision="fp32", pairs=short_pairs, limits=LIMITS)
    assert not list(tmp_path.iterdir())


def test_heads_of_a_size_that_onnx_runtime_does_not_take_are_refused(
    make_model: Callable[..., Transformer],
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    model = make_model(num_heads=8)
    with pytest.raises(ExportError, match=r"heads have size 4 \(model_size 32 over 8\), .* multiples of 8"):
        build_artifact(model, tokenizer, tmp_path / "new", precision="fp32", pairs=short_pairs, limits=LIMITS)
    assert not list(tmp_path.iterdir())


def test_a_recurrent_model_has_an_fp16_artifact_too(
    make_recurrent: Callable[..., Recurrent],
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    model = make_recurrent(num_encoder_layers=1, num_decoder_layers=1)
    output = tmp_path / "recurrent"
    manifest = build_artifact(model, tokenizer, output, precision="fp16", pairs=short_pairs, limits=LIMITS)
    assert {spec.dtype for spec in (*manifest.states, *manifest.memory)} == {"float16"}
    assert manifest.graphs.keys() == {
        GraphName.ENCODER,
        GraphName.DECODER_STEP,
        GraphName.LOG_PROBS,
        GraphName.CANDIDATES,
    }  # no caches to copy
    assert read_proof(output)["distance_to_fp32"]["log_prob_difference_max"] < 0.01
