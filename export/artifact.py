"""Builds an artifact: exports, proves, and only then puts the folder where it was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from export import proof
from export.graph_model import GraphModel, GraphScorer
from export.graphs import DecoderStepGraph, EncoderGraph
from export.manifest import (
    BEAM,
    ENCODER,
    GREEDY,
    MANIFEST_NAME,
    PROOF_NAME,
    SCHEMA_VERSION,
    GraphInfo,
    Manifest,
    SelfCheck,
    SpecialIds,
    TensorInfo,
    file_info,
)
from export.onnx_graph import (
    Exported,
    ExportError,
    TensorSpec,
    export_decoder_step,
    export_encoder,
    pool_specs,
)
from export.quantize import quantize_graph
from export.weights import WeightFile
from model.search import greedy_search
from model.tokenizer import END_ID, PADDING_ID, START_ID, UNKNOWN_ID, Tokenizer
from model.transformer import Transformer

PRECISIONS = ("fp32", "fp16", "int8")
CANDIDATES_PER_BEAM = 2
_LIBRARIES = ("torch", "onnx", "onnxscript", "sentencepiece")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The longest source and target that an artifact takes, in tokens, special ones included."""

    max_source_tokens: int = 256
    max_target_tokens: int = 256


def export_graphs(model: Transformer, dtype: str) -> dict[str, Exported]:
    """The three graphs of a model whose weights have this type."""
    return {
        ENCODER: export_encoder(EncoderGraph(model), dtype),
        GREEDY: export_decoder_step(DecoderStepGraph(model), dtype),
        BEAM: export_decoder_step(DecoderStepGraph(model, CANDIDATES_PER_BEAM), dtype),
    }


def structure_sha256(model: onnx.ModelProto) -> str:
    """A hash of a graph's nodes, names, types and shapes: the same for two exports of one architecture."""
    bare = onnx.ModelProto()
    bare.graph.CopyFrom(model.graph)
    for tensor in bare.graph.initializer:
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "external_data", "data_location"):
            tensor.ClearField(field)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def checkpoint_sha256(model: Transformer, tokenizer: Tokenizer) -> str:
    """A hash of configuration, weights and tokenizer, whatever files they lie in."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.config), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    digest.update(tokenizer.serialized)
    return digest.hexdigest()


def build_artifact(
    model: Transformer,
    tokenizer: Tokenizer,
    output: Path,
    *,
    precision: str,
    pairs: Sequence[tuple[str, str]],
    limits: Limits,
    max_bleu_loss: float = 0.5,
) -> Manifest:
    """Export, prove and write an artifact; nothing is left at `output` if the proof refuses it.

    Args:
        pairs: Sentence pairs for the proof, columns in the order of the tokenizer's languages.
        max_bleu_loss: Limit on what fp16 and int8 may lose against fp32, in BLEU.

    Raises:
        ProofError: the graphs do not do what PyTorch does.
        ExportError: the exporter froze an axis or renamed a tensor.
    """
    _check_limits(model, limits)
    sentences = proof.prepare(pairs, tokenizer)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as name:
        folder = Path(name) / output.name
        folder.mkdir()
        exact = export_graphs(model, "float32")
        write_graphs(folder, exact)
        caches, memory = _pools(model, "float32")
        graphs = GraphModel(folder, caches, memory)
        checks = [
            *proof.log_prob_checks(model, graphs, sentences),
            *proof.text_checks(model, graphs, sentences),
        ]
        figures: dict[str, float] = {}
        exported = exact
        if precision != "fp32":
            proof.require(checks)
            exported = _smaller(model, exact, precision)
            write_graphs(folder, exported)
            caches, memory = _pools(model, _POOL_TYPE[precision])
            graphs = GraphModel(folder, caches, memory)
            quality, figures = proof.quality_checks(model, tokenizer, graphs, sentences, max_bleu_loss)
            checks += quality
        checks += proof.neighbour_checks(model, graphs, sentences)
        proof.require(checks)
        _write_proof(folder, checks, figures, len(sentences))
        tokenizer.save(folder)
        manifest = _manifest(
            model,
            tokenizer,
            name=output.name,
            precision=precision,
            limits=limits,
            exported=exported,
            sentences=sentences,
            folder=folder,
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        _put(folder, output)
    return manifest


def _check_limits(model: Transformer, limits: Limits) -> None:
    """Learned positions end somewhere, and a server pads a source to a multiple of 8."""
    most = model.config.max_positions // 8 * 8
    longest = max(limits.max_source_tokens, limits.max_target_tokens)
    if model.config.positions == "learned" and longest > most:
        raise ExportError(
            f"the limit of {longest} tokens is more than the {most} that the learned positions allow"
        )


_POOL_TYPE = {"fp32": "float32", "int8": "float32", "fp16": "float16"}
_DEVICES = {"fp32": ("cpu", "cuda"), "int8": ("cpu",), "fp16": ("cuda", "cpu")}


def _pools(model: Transformer, dtype: str) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    caches, memory = pool_specs(model, dtype)
    return _infos(caches), _infos(memory)


def _infos(specs: Sequence[TensorSpec]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name=s.name, dtype=s.dtype, shape=s.shape) for s in specs)


def _smaller(model: Transformer, exact: Mapping[str, Exported], precision: str) -> dict[str, Exported]:
    if precision == "int8":
        return {
            name: dataclasses.replace(graph, model=quantize_graph(graph.model))
            for name, graph in exact.items()
        }
    half = Transformer(model.config)
    half.load_state_dict(model.state_dict())
    return export_graphs(half.half().eval(), "float16")


def write_graphs(folder: Path, exported: Mapping[str, Exported]) -> None:
    """Write graphs and their one weight file."""
    weights = WeightFile()
    for name, graph in exported.items():
        stored = onnx.ModelProto()
        stored.CopyFrom(graph.model)
        weights.move(stored)
        (folder / f"{name}.onnx").write_bytes(stored.SerializeToString(deterministic=True))
    weights.write(folder)


def _write_proof(
    folder: Path, checks: Sequence[proof.Check], figures: Mapping[str, float], num_sentences: int
) -> None:
    content: dict[str, Any] = {
        "num_sentences": num_sentences,
        "checks": [{**dataclasses.asdict(check), "passed": check.passed} for check in checks],
        "distance_to_fp32": dict(figures),
        "proved_with": _versions("torch", "onnxruntime", "onnxruntime-gpu"),
    }
    (folder / PROOF_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _manifest(
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    name: str,
    precision: str,
    limits: Limits,
    exported: Mapping[str, Exported],
    sentences: Sequence[proof.Sentence],
    folder: Path,
) -> Manifest:
    caches, memory = _pools(model, _POOL_TYPE[precision])
    languages = tokenizer.languages
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        architecture=model.config.architecture,
        precision=precision,
        language_pairs=tuple((a, b) for a in languages for b in languages if a != b),
        vocabulary_size=tokenizer.size,
        special_ids=SpecialIds(padding=PADDING_ID, unknown=UNKNOWN_ID, start=START_ID, end=END_ID),
        max_source_tokens=limits.max_source_tokens,
        max_target_tokens=limits.max_target_tokens,
        devices=_DEVICES[precision],
        caches=caches,
        memory=memory,
        graphs={
            key: GraphInfo(
                file=f"{key}.onnx",
                inputs=_infos(graph.inputs),
                outputs=_infos(graph.outputs),
                structure_sha256=structure_sha256(graph.model),
            )
            for key, graph in exported.items()
        },
        self_check=_self_check(folder, caches, memory, sentences[0]),
        checkpoint_sha256=checkpoint_sha256(model, tokenizer),
        produced_with=_versions(*_LIBRARIES),
        files={path.name: file_info(path) for path in sorted(folder.iterdir())},
    )


def _self_check(
    folder: Path,
    caches: tuple[TensorInfo, ...],
    memory: tuple[TensorInfo, ...],
    sentence: proof.Sentence,
) -> SelfCheck:
    scorer = GraphScorer(GraphModel(folder, caches, memory), 1, 256)
    found = greedy_search(scorer, list(sentence.source), sentence.max_target_tokens)
    return SelfCheck(source=sentence.source, target=found.token_ids)


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _put(folder: Path, output: Path) -> None:
    """Replace output by the finished folder; an older artifact stays until the new one is whole."""
    folder.chmod(0o755)  # temporary folders are closed to others
    old = output.with_name(f".{output.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    folder.rename(output)
    shutil.rmtree(old, ignore_errors=True)
