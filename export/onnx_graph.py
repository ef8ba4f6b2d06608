"""From a PyTorch graph module to an ONNX model with named inputs, outputs and dynamic axes."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.graphs import DecoderStepGraph, EncoderGraph
from export.tensor_scatter import OPSET, translation_table
from model.transformer import Transformer

Axis = str | int

# Sizes that trace the graphs: each axis its own, none 0 or 1, or the exporter would freeze or merge them.
_TRACE_SIZES = {
    "batch": 2,
    "source_tokens": 5,
    "slots": 7,
    "rows": 3,
    "beam": 2,
    "source_capacity": 16,
    "columns": 34,
}


class ExportError(RuntimeError):
    """An exported graph is not what the contract says."""


@dataclass(frozen=True)
class TensorSpec:
    """A graph input or output: an axis is a number, or the name of a dynamic size."""

    name: str
    dtype: str
    shape: tuple[Axis, ...]


@dataclass(frozen=True)
class Exported:
    """A graph, and what its inputs and outputs are called."""

    model: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def pool_specs(model: Transformer, dtype: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The pools that the decoder step writes (self-attention) and those it only reads (cross-attention)."""
    heads, size = model.config.num_heads, model.config.head_size
    names = [(part, i) for i in range(model.config.num_decoder_layers) for part in ("key", "value")]
    caches = tuple(TensorSpec(f"self_{p}_{i}", dtype, ("rows", heads, "columns", size)) for p, i in names)
    memory = tuple(
        TensorSpec(f"cross_{p}_{i}", dtype, ("rows", heads, "source_capacity", size)) for p, i in names
    )
    return caches, memory


def export_encoder(graph: EncoderGraph, dtype: str) -> Exported:
    """The encoder graph: sources into rows of the cross-attention pools."""
    _, memory = pool_specs(graph.model, dtype)
    pools = tuple(TensorSpec(spec.name, dtype, ("slots", *spec.shape[1:])) for spec in memory)
    inputs = (
        TensorSpec("source", "int64", ("batch", "source_tokens")),
        TensorSpec("source_length", "int64", ("batch",)),
        TensorSpec("slot", "int64", ("batch",)),
        *pools,
    )
    return _export(graph, inputs, _as_outputs(pools))


def export_decoder_step(graph: DecoderStepGraph, dtype: str) -> Exported:
    """The decoder step, greedy or for beams as the module says."""
    caches, memory = pool_specs(graph.model, dtype)
    is_beam = graph.num_candidates_per_beam > 0
    beam: Axis = "beam" if is_beam else 1
    vocabulary = graph.model.config.vocabulary_size
    inputs = (
        TensorSpec("token", "int64", ("rows", beam)),
        TensorSpec("position", "int64", ("rows",)),
        TensorSpec("source_length", "int64", ("rows",)),
        *([TensorSpec("is_ancestor", "bool", ("rows", beam, "columns"))] if is_beam else []),
        *caches,
        *memory,
    )
    best = (
        TensorSpec("best_log_probs", "float32", ("rows", beam, f"{graph.num_candidates_per_beam}*beam")),
        TensorSpec("best_token", "int64", ("rows", beam, f"{graph.num_candidates_per_beam}*beam")),
    )
    outputs = (
        TensorSpec("log_probs", "float32", ("rows", beam, vocabulary)),
        *(best if is_beam else ()),
        *_as_outputs(caches),
    )
    return _export(graph, inputs, outputs)


def _as_outputs(pools: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{spec.name}_out", spec.dtype, spec.shape) for spec in pools)


def _example(spec: TensorSpec) -> Tensor:
    shape = [_TRACE_SIZES[axis] if isinstance(axis, str) else axis for axis in spec.shape]
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype != torch.int64:
        return torch.ones(shape, dtype=dtype)
    rows = torch.arange(shape[0]).reshape([shape[0]] + [1] * (len(shape) - 1))
    return rows.expand(shape).contiguous()


def _export(graph: nn.Module, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Exported:
    axes = {axis: Dim(axis) for spec in inputs for axis in spec.shape if isinstance(axis, str)}
    shapes = [{i: axes[a] for i, a in enumerate(spec.shape) if isinstance(a, str)} for spec in inputs]
    fixed = graph.forward.__code__.co_argcount - 1
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
            dynamic_shapes=(*shapes[:fixed], tuple(shapes[fixed:])),
            custom_translation_table=translation_table(),
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
