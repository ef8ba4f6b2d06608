"""From a PyTorch graph module to an ONNX model with named inputs, outputs and dynamic axes."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.contract.tensors import TensorSpec
from export.graphs import fused_attention, recurrent_layer
from export.graphs.of_model import ModelGraphs
from export.graphs.opset import OPSET
from export.graphs.step import CANDIDATES_PER_BEAM, CandidatesGraph, CopyCachesGraph, LogProbsGraph

# Sizes that trace the graphs: each axis its own, none 0 or 1, or the exporter would freeze or merge them.
_TRACE_SIZES = {
    "batch": 2,
    "source_tokens": 5,
    "slots": 7,
    "rows": 3,
    "beam": 2,
    "hypotheses": 6,
    "copies": 4,
    "source_capacity": 16,
    "columns": 34,
}


class ExportError(RuntimeError):
    """An exported graph is not what the contract says."""


@dataclass(frozen=True)
class Exported:
    """A graph, and what its inputs and outputs are called."""

    model: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def export_encoder(graphs: ModelGraphs, dtype: str) -> Exported:
    """The encoder graph: sources into rows of the memory pools."""
    pools = tuple(TensorSpec(spec.name, dtype, ("slots", *spec.shape[1:])) for spec in graphs.pools.memory)
    inputs = (
        TensorSpec("source", "int64", ("batch", "source_tokens")),
        TensorSpec("source_length", "int64", ("batch",)),
        TensorSpec("slot", "int64", ("batch",)),
        *pools,
    )
    return _export(graphs.encoder(), inputs, _as_outputs(pools))


def export_decoder_step(graphs: ModelGraphs, dtype: str) -> Exported:
    """The decoder step, to logits; see `DecoderStepGraph`."""
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
        *(_queries(graphs, dtype) if graphs.attention else _attention(graphs, dtype)),
        *(_as_outputs(pools.memory) if graphs.attention else ()),
        *_as_outputs(written),
    )
    return _export(graphs.decoder_step(), inputs, outputs)


def export_attention(graphs: ModelGraphs, dtype: str) -> Exported:
    """See `AttentionGraph`; only where there is one."""
    assert graphs.attention is not None
    keys = [spec for spec in graphs.pools.of_type(dtype).memory if spec.name.startswith("cross_key_")]
    inputs = (TensorSpec("source_length", "int64", ("rows",)), *_queries(graphs, dtype), *keys)
    return _export(graphs.attention(), inputs, _attention(graphs, dtype))


def _queries(graphs: ModelGraphs, dtype: str) -> tuple[TensorSpec, ...]:
    shape = ("rows", "beam", graphs.hidden_size)
    return tuple(TensorSpec(f"query_{i}", dtype, shape) for i in range(graphs.num_attention_layers))


def _attention(graphs: ModelGraphs, dtype: str) -> tuple[TensorSpec, ...]:
    shape = ("rows", graphs.num_heads, "beam", "source_capacity")
    return tuple(TensorSpec(f"attention_{i}", dtype, shape) for i in range(graphs.num_attention_layers))


def export_log_probs(graphs: ModelGraphs) -> Exported:
    """See `LogProbsGraph`."""
    return _export(LogProbsGraph(), (_scores("logits", graphs),), (_scores("log_probs", graphs),))


def export_candidates(graphs: ModelGraphs) -> Exported:
    """See `CandidatesGraph`."""
    best = ("rows", "beam", f"{CANDIDATES_PER_BEAM}*beam")
    outputs = (TensorSpec("best_log_probs", "float32", best), TensorSpec("best_token", "int64", best))
    # Without its limit the exporter would report that so many candidates are not always there.
    limits = {"beam": graphs.vocabulary_size // CANDIDATES_PER_BEAM}
    return _export(CandidatesGraph(), (_scores("log_probs", graphs),), outputs, limits)


def export_copy_caches(graphs: ModelGraphs, dtype: str) -> Exported:
    """See `CopyCachesGraph`."""
    caches = graphs.pools.of_type(dtype).caches
    indices = tuple(TensorSpec(name, "int64", ("copies",)) for name in ("from_hypothesis", "to_hypothesis"))
    return _export(CopyCachesGraph(), (*indices, *caches), _as_outputs(caches))


def _scores(name: str, graphs: ModelGraphs) -> TensorSpec:
    return TensorSpec(name, "float32", ("rows", "beam", graphs.vocabulary_size))


def _as_outputs(pools: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{spec.name}_out", spec.dtype, spec.shape) for spec in pools)


def _example(spec: TensorSpec) -> Tensor:
    shape = [_TRACE_SIZES[axis] if isinstance(axis, str) else axis for axis in spec.shape]
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype != torch.int64:
        return torch.ones(shape, dtype=dtype)
    rows = torch.arange(shape[0]).reshape([shape[0]] + [1] * (len(shape) - 1))
    return rows.expand(shape).contiguous()


def _export(
    graph: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    limits: Mapping[str, int] | None = None,
) -> Exported:
    names = {axis for spec in inputs for axis in spec.shape if isinstance(axis, str)}
    axes = {name: Dim(name, max=(limits or {}).get(name)) for name in names}
    shapes = [{i: axes[a] for i, a in enumerate(spec.shape) if isinstance(a, str)} for spec in inputs]
    fixed = graph.forward.__code__.co_argcount - 1
    takes_more = bool(graph.forward.__code__.co_flags & inspect.CO_VARARGS)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Axes that share a constraint, such as one name used twice, are what we ask for.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph.eval(),
            tuple(_example(spec) for spec in inputs),
            input_names=[spec.name for spec in inputs],
            output_names=[spec.name for spec in outputs],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(*shapes[:fixed], *([tuple(shapes[fixed:])] if takes_more else [])),
            custom_translation_table=fused_attention.translation_table()
            | recurrent_layer.translation_table(),
            verbose=False,
        )
    if program is None:
        raise ExportError("the exporter returned no program")
    model = program.model_proto
    _assert_contract(model, inputs, outputs)
    return Exported(_strip(model), tuple(inputs), tuple(outputs))


def _assert_contract(
    model: onnx.ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Every name, type and axis is as specified: a dynamic axis that the trace froze is an error."""
    faults = []
    for kind, specs, values in (
        ("input", inputs, model.graph.input),
        ("output", outputs, model.graph.output),
    ):
        if [spec.name for spec in specs] != [value.name for value in values]:
            faults.append(f"{kind}s are {[v.name for v in values]}, must be {[s.name for s in specs]}")
            continue
        for spec, value in zip(specs, values, strict=True):
            tensor = value.type.tensor_type
            shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            if shape != spec.shape or dtype != spec.dtype:
                faults.append(f"{kind} {spec.name} is {dtype}{shape}, must be {spec.dtype}{spec.shape}")
    if faults:
        raise ExportError("exported graph breaks the contract: " + "; ".join(faults))


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the traces of where each node came from: they are most of the file and name local paths."""
    model.graph.ClearField("value_info")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    return model
