"""Builds an artifact: exports, proves, and only then puts the folder where it was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from export.contract.manifest import (
    ATTENTION,
    CANDIDATES,
    COPY_CACHES,
    DECODER_STEP,
    ENCODER,
    LOG_PROBS,
    MANIFEST_NAME,
    PROOF_NAME,
    SCHEMA_VERSION,
    AttentionInfo,
    GraphInfo,
    Manifest,
    SpecialIds,
    TensorInfo,
    file_info,
)
from export.contract.tensors import TensorSpec
from export.graphs.of_model import graphs_of
from export.graphs.shortlist import shortlist_graphs
from export.graphs.to_onnx import (
    Exported,
    ExportError,
    export_attention,
    export_candidates,
    export_copy_caches,
    export_decoder_step,
    export_encoder,
    export_log_probs,
)
from export.proof.alignment import anchor_accuracy
from export.proof.checks import Check, require
from export.proof.graph_model import GraphModel
from export.proof.self_check import find_self_check
from export.proof.sentences import CAPACITY, LanguagePair, Pairs, Sentence, prepare
from export.proof.shortlist_checks import shortlist_checks, shortlist_figures
from export.proof.step_checks import log_prob_checks, neighbour_checks
from export.proof.text_checks import quality_checks, text_checks
from export.quantize.calibration import largest_values
from export.quantize.matrices import quantize_graph
from export.quantize.pools import quantize_pools
from export.weights import WeightFile
from model.networks.build import build_model
from model.networks.config import TransformerConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.shortlist.shortlist import FILE_NAME as SHORTLIST_NAME
from model.shortlist.shortlist import Shortlist
from model.text.tokenizer import END_ID, PADDING_ID, START_ID, UNKNOWN_ID, Tokenizer

HEAD_MULTIPLE = 8
PRECISIONS = ("fp32", "fp16", "int8")
SHORTLIST_PRECISIONS = ("fp32", "int8")
_LIBRARIES = ("torch", "onnx", "onnxscript", "sentencepiece")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The longest source and target that an artifact takes, in tokens, special ones included."""

    max_source_tokens: int = 256
    max_target_tokens: int = 256


def export_graphs(model: EncoderDecoder, dtype: str) -> dict[str, Exported]:
    """The graphs of a model whose weights have this type."""
    graphs = graphs_of(model)
    return {
        ENCODER: export_encoder(graphs, dtype),
        DECODER_STEP: export_decoder_step(graphs, dtype),
        LOG_PROBS: export_log_probs(graphs),
        CANDIDATES: export_candidates(graphs),
        **({ATTENTION: export_attention(graphs, dtype)} if graphs.attention else {}),
        **({COPY_CACHES: export_copy_caches(graphs, dtype)} if graphs.pools.caches else {}),
    }


def structure_sha256(model: onnx.ModelProto) -> str:
    """A hash of a graph's nodes, names, types and shapes: the same for two exports of one architecture."""
    bare = onnx.ModelProto()
    bare.graph.CopyFrom(model.graph)
    for tensor in bare.graph.initializer:
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "external_data", "data_location"):
            tensor.ClearField(field)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def checkpoint_sha256(model: EncoderDecoder, tokenizer: Tokenizer) -> str:
    """A hash of configuration, weights and tokenizer, whatever files they lie in."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.config), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    digest.update(tokenizer.serialized)
    return digest.hexdigest()


def build_artifact(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    output: Path,
    *,
    precision: str,
    pairs: Pairs | Mapping[LanguagePair, Pairs],
    limits: Limits,
    max_bleu_loss: float = 0.5,
    shortlist: Shortlist | None = None,
) -> Manifest:
    """Export, prove and write an artifact; nothing is left at `output` if the proof refuses it.

    Args:
        pairs: Sentence pairs for the proof, by the languages of their columns; a plain list is of the
            tokenizer's two. The artifact serves what is proven: these languages, both ways.
        max_bleu_loss: Limit on what fp16 and int8 may lose against fp32, in BLEU.
        shortlist: The vocabulary shortlist that a server may use, with fp32 and int8; its cost in BLEU is
            measured and has no limit.

    Raises:
        ProofError: the graphs do not do what PyTorch does.
        ExportError: the limits are beyond what the model has positions for, its heads are of a size that ONNX
            Runtime does not take, the shortlist does not fit the model or its precision, or the exporter
            froze an axis or renamed a tensor.
    """
    _check_limits(model, limits)
    _check_heads(model)
    if shortlist is not None:
        _check_shortlist(shortlist, tokenizer, precision)
    sentences = prepare(pairs, tokenizer, min(CAPACITY, _position_limit(model) or CAPACITY))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as name:
        folder = Path(name) / output.name
        folder.mkdir()
        exact = export_graphs(model, "float32")
        write_graphs(folder, exact)
        graphs = GraphModel(folder, graphs_of(model).pools)
        checks = [
            *log_prob_checks(model, graphs, sentences),
            *text_checks(model, graphs, sentences),
        ]
        quality, figures = list[Check](), dict[str, float]()
        exported = exact
        if precision != "fp32":
            require(checks)
            tried: Iterable[dict[str, Exported]]
            tried = [_half(model)] if precision == "fp16" else _int8(model, tokenizer, exact, sentences)
            for exported in tried:
                write_graphs(folder, exported)
                pools = graphs_of(model).pools.typed_as(exported[DECODER_STEP].inputs)
                graphs = GraphModel(folder, pools)
                quality, figures = quality_checks(model, tokenizer, graphs, sentences, max_bleu_loss)
                if all(check.passed for check in quality):
                    break
            checks += quality
        checks += neighbour_checks(model, graphs, sentences)
        shortlisted: dict[str, float] = {}
        if shortlist is not None:
            exported = {**exported, **shortlist_graphs(exported[DECODER_STEP])}
            write_graphs(folder, exported)
            shortlist.save(folder)
            checks += shortlist_checks(model, folder, graphs.pools, sentences, is_exact=precision == "int8")
            require(checks)
            shortlisted = shortlist_figures(tokenizer, graphs, shortlist, sentences)
        require(checks)
        _write_proof(folder, checks, {"distance_to_fp32": figures, "shortlist": shortlisted}, len(sentences))
        tokenizer.save(folder)
        manifest = _manifest(
            model,
            tokenizer,
            folder=folder,
            precision=precision,
            limits=limits,
            exported=exported,
            sentences=sentences,
            graphs=graphs,
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        _put(folder, output)
    return manifest


def _position_limit(model: EncoderDecoder) -> int | None:
    """Learned positions end somewhere, and a server pads a source to a multiple of 8."""
    most = model.config.most_positions
    return None if most is None else most // 8 * 8


def _check_heads(model: EncoderDecoder) -> None:
    config = model.config
    if isinstance(config, TransformerConfig) and config.head_size % HEAD_MULTIPLE:
        raise ExportError(
            f"heads have size {config.head_size} (model_size {config.model_size} over {config.num_heads}), "
            f"ONNX Runtime's attention takes multiples of {HEAD_MULTIPLE}"
        )


def _check_limits(model: EncoderDecoder, limits: Limits) -> None:
    most = _position_limit(model)
    longest = max(limits.max_source_tokens, limits.max_target_tokens)
    if most is not None and longest > most:
        raise ExportError(
            f"the limit of {longest} tokens is more than the {most} that the learned positions allow"
        )


def _check_shortlist(shortlist: Shortlist, tokenizer: Tokenizer, precision: str) -> None:
    tags = [tokenizer.encode_source("", language)[0] for language in tokenizer.languages]
    faults = [f"it has no table for the tag {tag}" for tag in tags if tag not in shortlist.tags]
    if shortlist.vocabulary_size != tokenizer.size:
        faults.append(f"it is of {shortlist.vocabulary_size} tokens, the tokenizer has {tokenizer.size}")
    if precision not in SHORTLIST_PRECISIONS:
        faults.append(f"{precision} artifacts have none, only {', '.join(SHORTLIST_PRECISIONS)}")
    if faults:
        raise ExportError(f"the shortlist does not fit: {'; '.join(faults)}")


_DEVICES = {"fp32": ("cpu",), "int8": ("cpu",), "fp16": ("cuda", "cpu")}


def _infos(specs: Sequence[TensorSpec]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name=s.name, dtype=s.dtype, shape=s.shape) for s in specs)


def _int8(
    model: EncoderDecoder, tokenizer: Tokenizer, exact: Mapping[str, Exported], sentences: Sequence[Sentence]
) -> Iterator[dict[str, Exported]]:
    """Fast, and for a model that does not bear it more exact."""
    graphs = graphs_of(model)
    largest = largest_values(graphs, tokenizer, sentences)

    def quantized(*, only_bounded: bool) -> dict[str, Exported]:
        return {
            name: dataclasses.replace(
                graph, model=quantize_graph(graph.model, largest, only_bounded=only_bounded)
            )
            for name, graph in exact.items()
        }

    fast = quantized(only_bounded=False)
    if graphs.attention:
        del fast[COPY_CACHES]  # for a GPU, which takes no int8
        in_pools = {spec.name: largest[spec.name] for spec in graphs.pools.specs}
        fast = {name: quantize_pools(graph, in_pools) for name, graph in fast.items()}
    yield fast
    yield quantized(only_bounded=True)


def _half(model: EncoderDecoder) -> dict[str, Exported]:
    half = build_model(model.config)
    half.load_state_dict(model.state_dict())
    return export_graphs(half.half().eval(), "float16")


def write_graphs(folder: Path, exported: Mapping[str, Exported]) -> None:
    """Write graphs and their one weight file, in place of all that are there."""
    for old in folder.glob("*.onnx"):
        old.unlink()
    weights = WeightFile()
    for name, graph in exported.items():
        stored = onnx.ModelProto()
        stored.CopyFrom(graph.model)
        weights.move(stored)
        (folder / f"{name}.onnx").write_bytes(stored.SerializeToString(deterministic=True))
    weights.write(folder)


def _write_proof(
    folder: Path, checks: Sequence[Check], figures: Mapping[str, Mapping[str, float]], num_sentences: int
) -> None:
    content: dict[str, Any] = {
        "num_sentences": num_sentences,
        "checks": [{**dataclasses.asdict(check), "passed": check.passed} for check in checks],
        **figures,
        "proved_with": _versions("torch", "onnxruntime", "onnxruntime-gpu"),
    }
    (folder / PROOF_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _manifest(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    *,
    folder: Path,
    precision: str,
    limits: Limits,
    exported: Mapping[str, Exported],
    sentences: Sequence[Sentence],
    graphs: GraphModel,
) -> Manifest:
    pools = graphs.pools
    shortlist = Shortlist.load(folder) if (folder / SHORTLIST_NAME).is_file() else None
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=folder.name,
        architecture=model.config.architecture,
        precision=precision,
        language_pairs=tuple(dict.fromkeys(s.languages for s in sentences if s.languages)),
        vocabulary_size=tokenizer.size,
        special_ids=SpecialIds(padding=PADDING_ID, unknown=UNKNOWN_ID, start=START_ID, end=END_ID),
        max_source_tokens=limits.max_source_tokens,
        max_target_tokens=limits.max_target_tokens,
        devices=_DEVICES[precision],
        caches=_infos(pools.caches),
        states=_infos(pools.states),
        memory=_infos(pools.memory),
        has_capacities=graphs_of(model).has_capacities,
        attention=_attention(model, tokenizer, sentences),
        graphs={
            key: GraphInfo(
                file=f"{key}.onnx",
                inputs=_infos(graph.inputs),
                outputs=_infos(graph.outputs),
                structure_sha256=structure_sha256(graph.model),
            )
            for key, graph in exported.items()
        },
        self_check=find_self_check(graphs, sentences, shortlist),
        checkpoint_sha256=checkpoint_sha256(model, tokenizer),
        produced_with=_versions(*_LIBRARIES),
        files={path.name: file_info(path) for path in sorted(folder.iterdir())},
        shortlist=SHORTLIST_NAME if shortlist is not None else None,
    )


def _attention(
    model: EncoderDecoder, tokenizer: Tokenizer, sentences: Sequence[Sentence]
) -> AttentionInfo | None:
    accuracy = anchor_accuracy(model, [(s.source, tokenizer.encode_target(s.reference)) for s in sentences])
    if not accuracy:
        return None
    return AttentionInfo(
        num_layers=len(accuracy),
        num_heads=graphs_of(model).num_heads,
        default_layer=accuracy.index(max(accuracy)),
        anchor_accuracy=accuracy,
    )


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
