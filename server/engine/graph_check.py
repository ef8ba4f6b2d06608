"""Whether an artifact's graphs are what its manifest says of them, before anything is bound to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnxruntime

from export.contract.graph_names import GraphName
from export.contract.manifest import ArtifactError, Manifest
from export.contract.tensors import TensorSpec

Graphs = dict[str, onnxruntime.InferenceSession]

_ELEMENT_TYPES = {"tensor(float)": "float32"}  # ONNX Runtime calls the others as NumPy does
_CONTROLS = {
    GraphName.ENCODER: {"source", "source_length", "slot"},
    GraphName.DECODER_STEP: {"token", "position", "source_length", "parent"},
    GraphName.DECODER_HIDDEN: {"token", "position", "source_length", "parent"},
}
_SCORES = {"logits", "log_probs"}


def check_graphs(manifest: Manifest, graphs: Graphs) -> None:
    """Hold loaded graphs against the manifest, and its pools against both.

    Raises:
        ArtifactError: lists every difference.
    """
    faults = [fault for name, graph in graphs.items() for fault in _faults(manifest, name, graph)]
    faults += _attention_faults(manifest)
    if faults:
        raise ArtifactError(f"model {manifest.name} has other graphs than its manifest: " + "; ".join(faults))


def _faults(manifest: Manifest, name: str, graph: Any) -> Iterator[str]:
    info = manifest.graphs[name]
    yield from _differences(f"{name}: input", graph.get_inputs(), info.inputs)
    yield from _differences(f"{name}: output", graph.get_outputs(), info.outputs)
    pools = {spec.name: spec for spec in (*manifest.caches, *manifest.states, *manifest.memory)}
    for spec in (*info.inputs, *info.outputs):
        pool = pools.get(spec.name.removesuffix("_out"))
        if pool is not None and (spec.dtype, _sizes(spec.shape)) != (pool.dtype, _sizes(pool.shape)):
            yield f"{name}: {spec.name} is {spec.dtype}{spec.shape}, the pool is {pool.dtype}{pool.shape}"
        is_of_all = spec.name in _SCORES and name != GraphName.SHORTLIST_LOGITS
        if is_of_all and (size := spec.shape[-1]) != manifest.vocabulary_size:
            yield f"{name}: {spec.name} is of {size} tokens, vocabulary_size is {manifest.vocabulary_size}"
    if name in _CONTROLS:
        yield from _input_faults(name, info.inputs, manifest, pools)


def _input_faults(
    name: str, inputs: Iterable[TensorSpec], manifest: Manifest, pools: Mapping[str, TensorSpec]
) -> Iterator[str]:
    names = {spec.name for spec in inputs}
    needed = {spec.name for spec in manifest.memory} if name == GraphName.ENCODER else set(pools)
    yield from (f"{name}: no input is the pool {pool}" for pool in sorted(needed - names))
    unknown = sorted(names - needed - _CONTROLS[GraphName(name)])
    yield from (f"{name}: input {unknown_name} is neither a pool nor a control" for unknown_name in unknown)


def _differences(kind: str, actual: Sequence[Any], expected: Sequence[TensorSpec]) -> Iterator[str]:
    actual_names = [tensor.name for tensor in actual]
    if sorted(actual_names) != sorted(spec.name for spec in expected):
        yield f"{kind}s are {', '.join(actual_names)}, must be {', '.join(spec.name for spec in expected)}"
        return
    by_name = {tensor.name: tensor for tensor in actual}
    for spec in expected:
        tensor = by_name[spec.name]
        dtype = _ELEMENT_TYPES.get(tensor.type, tensor.type.removeprefix("tensor(").removesuffix(")"))
        if (dtype, _sizes(tensor.shape)) != (spec.dtype, _sizes(spec.shape)):
            yield f"{kind} {spec.name} is {dtype}{tuple(tensor.shape)}, must be {spec.dtype}{spec.shape}"


def _sizes(shape: Iterable[object]) -> tuple[int | None, ...]:
    """A shape without the names of its dynamic axes, which graphs may call as they like."""
    return tuple(axis if isinstance(axis, int) else None for axis in shape)


def _attention_faults(manifest: Manifest) -> Iterator[str]:
    if manifest.attention is None:
        return
    names = (GraphName.DECODER_STEP, GraphName.ATTENTION)
    outputs = {s.name for name in names if name in manifest.graphs for s in manifest.graphs[name].outputs}
    missing = [i for i in range(manifest.attention.num_layers) if f"attention_{i}" not in outputs]
    if missing:
        yield f"no graph gives attention_{missing[0]}, num_layers is {manifest.attention.num_layers}"
