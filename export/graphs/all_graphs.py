"""All graphs of a model as ONNX: what each takes and gives, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from export.graphs.of_model import ModelGraphs, graphs_of
from export.graphs.step import CANDIDATES_PER_BEAM, CandidatesGraph, CopyCachesGraph, LogProbsGraph
from export.graphs.to_onnx import Exported, export_module
from model.networks.encoder_decoder import EncoderDecoder


def export_graphs(model: EncoderDecoder, dtype: str) -> dict[str, Exported]:
    """Export every graph of a model, by `GraphName`.

    Args:
        model: In evaluation mode, its weights of type `dtype`.
        dtype: "float32" or "float16".

    Raises:
        ExportError: the exporter froze an axis or renamed a tensor.
    """
    graphs = graphs_of(model, for_gpu=dtype == "float16")
    exported: dict[str, Exported] = {
        GraphName.ENCODER: export_encoder(graphs, dtype),
        GraphName.DECODER_STEP: export_decoder_step(graphs, dtype),
        GraphName.LOG_PROBS: export_log_probs(graphs),
        GraphName.CANDIDATES: export_candidates(graphs),
    }
    if graphs.attention:
        exported[GraphName.ATTENTION] = export_attention(graphs, dtype)
    if graphs.pools.caches:
        exported[GraphName.COPY_CACHES] = export_copy_caches(graphs, dtype)
    return exported


def export_encoder(graphs: ModelGraphs, dtype: str) -> Exported:
    """The encoder graph: sources into rows of the memory pools."""
    pools = tuple(TensorSpec(spec.name, dtype, ("slots", *spec.shape[1:])) for spec in graphs.pools.memory)
    inputs = (
        TensorSpec("source", "int64", ("batch", "source_tokens")),
        TensorSpec("source_length", "int64", ("batch",)),
        TensorSpec("slot", "int64", ("batch",)),
        *pools,
    )
    return export_module(graphs.encoder(), inputs, _as_outputs(pools))


def export_decoder_step(graphs: ModelGraphs, dtype: str) -> Exported:
    """The decoder step, from tokens to logits, a `DecoderStepGraph`."""
    pools = graphs.pools.of_type(dtype)
    written = (*pools.caches, *pools.states)
    inputs = (
        TensorSpec("token", "int64", ("rows", "beam")),
        TensorSpec("position", "int64", ("rows",)),
        TensorSpec("source_length", "int64", ("rows",)),
        *([TensorSpec("parent", "int64", ("rows", "beam"))] if pools.states else []),
        *written,
        *pools.memory,
    )
    outputs = (
        _scores("logits", graphs),
        TensorSpec("hidden", dtype, ("rows", "beam", graphs.hidden_size)),
        *(_queries(graphs, dtype) if graphs.attention else _attention_weights(graphs, dtype)),
        *(_as_outputs(pools.memory) if graphs.returns_memory else ()),
        *_as_outputs(written),
    )
    return export_module(graphs.decoder_step(), inputs, outputs)


def export_attention(graphs: ModelGraphs, dtype: str) -> Exported:
    """The graph from a step's queries to its attention, for a model that has an `AttentionGraph`."""
    assert graphs.attention is not None
    keys = [spec for spec in graphs.pools.of_type(dtype).memory if spec.name.startswith("cross_key_")]
    inputs = (TensorSpec("source_length", "int64", ("rows",)), *_queries(graphs, dtype), *keys)
    return export_module(graphs.attention(), inputs, _attention_weights(graphs, dtype))


def _queries(graphs: ModelGraphs, dtype: str) -> tuple[TensorSpec, ...]:
    shape = ("rows", "beam", graphs.hidden_size)
    return tuple(TensorSpec(f"query_{i}", dtype, shape) for i in range(graphs.num_attention_layers))


def _attention_weights(graphs: ModelGraphs, dtype: str) -> tuple[TensorSpec, ...]:
    shape = ("rows", graphs.num_heads, "beam", "source_capacity")
    return tuple(TensorSpec(f"attention_{i}", dtype, shape) for i in range(graphs.num_attention_layers))


def export_log_probs(graphs: ModelGraphs) -> Exported:
    """The graph from logits to log-probabilities, `LogProbsGraph`."""
    return export_module(LogProbsGraph(), (_scores("logits", graphs),), (_scores("log_probs", graphs),))


def export_candidates(graphs: ModelGraphs) -> Exported:
    """The graph of the best next tokens, `CandidatesGraph`."""
    best = ("rows", "beam", f"{CANDIDATES_PER_BEAM}*beam")
    outputs = (TensorSpec("best_log_probs", "float32", best), TensorSpec("best_token", "int64", best))
    # Without its limit the exporter would report that so many candidates are not always there.
    limits = {"beam": graphs.vocabulary_size // CANDIDATES_PER_BEAM}
    return export_module(CandidatesGraph(), (_scores("log_probs", graphs),), outputs, limits)


def export_copy_caches(graphs: ModelGraphs, dtype: str) -> Exported:
    """The graph that copies columns of the caches, `CopyCachesGraph`."""
    caches = graphs.pools.of_type(dtype).caches
    names = ("from_hypothesis", "to_hypothesis", "column")
    indices = tuple(TensorSpec(name, "int64", ("copies",)) for name in names)
    return export_module(CopyCachesGraph(), (*indices, *caches), _as_outputs(caches))


def _scores(name: str, graphs: ModelGraphs) -> TensorSpec:
    return TensorSpec(name, "float32", ("rows", "beam", graphs.vocabulary_size))


def _as_outputs(pools: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{spec.name}_out", spec.dtype, spec.shape) for spec in pools)
