"""Builds an artifact: exports, proves, and only then puts the folder where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from export.contract.graph_names import GraphName
from export.contract.manifest import ArtifactError, Manifest, load_manifest
from export.describe import describe
from export.folder import write_graphs, write_manifest, write_proof
from export.graphs.all_graphs import export_graphs
from export.graphs.of_model import graphs_of
from export.graphs.shortlist import shortlist_graphs
from export.graphs.to_onnx import Exported, ExportError
from export.limits import Limits, check_heads, check_limits, check_shortlist, position_limit
from export.precisions import smaller_graphs
from export.proof.checks import Check, require
from export.proof.graph_model import GraphModel
from export.proof.half_checks import half_checks
from export.proof.sentences import CAPACITY, LanguagePair, Pairs, Sentence, prepare
from export.proof.shortlist_checks import shortlist_checks, shortlist_figures
from export.proof.step_checks import log_prob_checks, neighbour_checks
from export.proof.text_checks import quality_checks, text_checks
from model.networks.encoder_decoder import EncoderDecoder
from model.quantization import Quantization
from model.shortlist.shortlist import Shortlist
from model.text.tokenizer import Tokenizer
from model.unfinished_folder import unfinished_folder


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What is exported, and the sentences that prove it."""

    model: EncoderDecoder
    tokenizer: Tokenizer
    sentences: Sequence[Sentence]
    quantization: Quantization | None
    language_pairs: Sequence[LanguagePair] | None


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """Graphs in the unfinished folder, and what has been shown of them.

    Args:
        exported: What the folder holds, by `GraphName`.
        graphs: Runs them.
        checks: Passed or not, in the order of proof.json.
        distance_to_fp32, shortlist: Figures without a limit.
    """

    exported: Mapping[str, Exported]
    graphs: GraphModel
    checks: list[Check] = field(default_factory=list)
    distance_to_fp32: Mapping[str, float] = field(default_factory=dict)
    shortlist: Mapping[str, float] = field(default_factory=dict)

    def plus(self, checks: Sequence[Check]) -> _Stage:
        return replace(self, checks=[*self.checks, *checks])


def build_artifact(  # noqa: PLR0913 - all but three by their names
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    output: Path,
    *,
    precision: str,
    pairs: Pairs | Mapping[LanguagePair, Pairs],
    limits: Limits,
    max_bleu_loss: float = 0.5,
    shortlist: Shortlist | None = None,
    quantization: Quantization | None = None,
    language_pairs: Sequence[LanguagePair] | None = None,
) -> Manifest:
    """Export, prove and write an artifact; nothing is left at `output` if the proof refuses it.

    Args:
        precision: One of `PRECISIONS`.
        pairs: Sentence pairs for the proof, by the languages of their columns; a plain list is of the
            tokenizer's two. The artifact serves what is proven: these languages, both ways.
        max_bleu_loss: Limit on what fp16 and int8 may lose against fp32, in BLEU.
        shortlist: The vocabulary shortlist that a server may use, with fp32 and int8; its cost in BLEU is
            measured and has no limit.
        quantization: How the weights of an imported model were rounded: int8 then keeps its integers.
        language_pairs: What the artifact serves, of which some is proven; None for what is proven.

    Raises:
        ProofError: the graphs do not do what PyTorch does.
        ExportError: the limits are beyond what the model has positions for, its heads are of a size that ONNX
            Runtime does not take, the shortlist does not fit the model or its precision, or the exporter
            froze an axis or renamed a tensor.
    """
    check_limits(model, limits)
    check_heads(model)
    if shortlist is not None:
        check_shortlist(shortlist, tokenizer, precision)
    sentences = prepare(pairs, tokenizer, min(CAPACITY, position_limit(model) or CAPACITY))
    subject = _Subject(
        model=model,
        tokenizer=tokenizer,
        sentences=sentences,
        quantization=quantization,
        language_pairs=language_pairs,
    )
    with unfinished_folder(output) as folder:
        stage = _exact(subject, folder)
        if precision != "fp32":
            stage = _smaller(subject, folder, stage, precision, max_bleu_loss)
        stage = stage.plus(neighbour_checks(model, stage.graphs, sentences))
        if shortlist is not None:
            stage = _with_shortlist(subject, folder, stage, shortlist, is_exact=precision == "int8")
        require(stage.checks)
        return _finish(subject, folder, stage, precision, limits)


def _exact(subject: _Subject, folder: Path) -> _Stage:
    """fp32 graphs, held against PyTorch."""
    exported = export_graphs(subject.model, "float32")
    stage = _Stage(exported=exported, graphs=_written(subject, folder, exported))
    stage = stage.plus(log_prob_checks(subject.model, stage.graphs, subject.sentences))
    return stage.plus(text_checks(subject.model, stage.graphs, subject.sentences))


def _smaller(subject: _Subject, folder: Path, exact: _Stage, precision: str, max_bleu_loss: float) -> _Stage:
    """The first graphs of a precision that lose little enough, or else the last, whose check failed."""
    require(exact.checks)
    model, tokenizer, sentences = subject.model, subject.tokenizer, subject.sentences
    stage = exact
    candidates = smaller_graphs(precision, model, tokenizer, exact.exported, sentences, subject.quantization)
    for exported in candidates:
        graphs = _written(subject, folder, exported)
        quality, distance = quality_checks(model, tokenizer, graphs, sentences, max_bleu_loss)
        stage = replace(exact, exported=exported, graphs=graphs, distance_to_fp32=distance).plus(quality)
        if all(check.passed for check in quality):
            break
    return stage.plus(half_checks(model, tokenizer, sentences)) if precision == "fp16" else stage


def _with_shortlist(
    subject: _Subject, folder: Path, stage: _Stage, shortlist: Shortlist, *, is_exact: bool
) -> _Stage:
    """The shortlist and its graphs beside the others."""
    exported = {**stage.exported, **shortlist_graphs(stage.exported[GraphName.DECODER_STEP])}
    write_graphs(folder, exported)
    shortlist.save(folder)
    stage = replace(stage, exported=exported).plus(
        shortlist_checks(subject.model, folder, stage.graphs.pools, subject.sentences, is_exact=is_exact)
    )
    require(stage.checks)
    figures = shortlist_figures(subject.tokenizer, stage.graphs, shortlist, subject.sentences)
    return replace(stage, shortlist=figures)


def _written(subject: _Subject, folder: Path, exported: Mapping[str, Exported]) -> GraphModel:
    """Write graphs in place of those in the folder, and open them."""
    write_graphs(folder, exported)
    pools = graphs_of(subject.model).pools.as_in(exported[GraphName.DECODER_STEP].inputs)
    return GraphModel(folder, pools, subject.model.special_ids)


def _finish(subject: _Subject, folder: Path, stage: _Stage, precision: str, limits: Limits) -> Manifest:
    """The files beside the graphs: proof, tokenizer, and the manifest, which hashes all others."""
    figures = {"distance_to_fp32": stage.distance_to_fp32, "shortlist": stage.shortlist}
    write_proof(folder, stage.checks, figures, len(subject.sentences))
    subject.tokenizer.save(folder)
    manifest = describe(
        subject.model,
        subject.tokenizer,
        folder=folder,
        precision=precision,
        limits=limits,
        exported=stage.exported,
        sentences=subject.sentences,
        graphs=stage.graphs,
        language_pairs=subject.language_pairs,
    )
    write_manifest(folder, manifest)
    try:
        load_manifest(folder)
    except ArtifactError as error:
        raise ExportError(f"a server would refuse it: {error}") from error
    return manifest
