"""From a PyTorch graph module to an ONNX model with named inputs, outputs and dynamic axes."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.contract.tensors import TensorSpec
from export.graphs import fused_attention, gpu_attention, recurrent_layer
from export.graphs.opset import OPSET

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
    """A graph as ONNX, with its inputs and outputs in the order in which it takes and gives them."""

    model: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def _example(spec: TensorSpec) -> Tensor:
    shape = [_TRACE_SIZES[axis] if isinstance(axis, str) else axis for axis in spec.shape]
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype != torch.int64:
        return torch.ones(shape, dtype=dtype)
    rows = torch.arange(shape[0]).reshape([shape[0]] + [1] * (len(shape) - 1))
    return rows.expand(shape).contiguous()


def export_module(
    graph: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    limits: Mapping[str, int] | None = None,
) -> Exported:
    """Write a PyTorch module as an ONNX graph.

    Args:
        graph: Its `forward` takes the inputs in their order; what a star takes stands behind the others.
        inputs, outputs: What the graph must have, axis by axis.
        limits: By dynamic axis the largest size that the module takes, where it has one.

    Raises:
        ExportError: the exporter froze an axis or renamed a tensor; every difference is listed.
    """
    names = {axis for spec in inputs for axis in spec.shape if isinstance(axis, str)}
    axes = {name: Dim(name, max=(limits or {}).get(name)) for name in names}
    shapes = [{i: axes[a] for i, a in enumerate(spec.shape) if isinstance(a, str)} for spec in inputs]
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
            dynamic_shapes=_by_parameter(graph, shapes),
            custom_translation_table=fused_attention.translation_table()
            | gpu_attention.translation_table()
            | recurrent_layer.translation_table(),
            verbose=False,
        )
    if program is None:
        raise ExportError("the exporter returned no program")
    model = program.model_proto
    _assert_contract(model, inputs, outputs)
    return Exported(_strip(model), tuple(inputs), tuple(outputs))


def _by_parameter(graph: nn.Module, shapes: Sequence[Any]) -> tuple[Any, ...]:
    """One entry for each parameter of `forward`: what a star takes is one entry of many."""
    parameters = inspect.signature(graph.forward).parameters.values()
    single = sum(parameter.kind is not inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    starred = [tuple(shapes[single:])] if single < len(parameters) else []
    return (*shapes[:single], *starred)


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
