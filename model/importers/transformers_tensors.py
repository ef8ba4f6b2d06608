"""From the tensors of a model of Transformers to the weights of our Transformer: names, shapes, ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from model.importers.errors import require
from model.importers.transformers_options import TransformersOptions
from model.networks.embeddings import SinusoidalPositions

BIAS = "final_logits_bias"
SHARED, SOURCE, TARGET, OUTPUT = (
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
)
_SOURCE_TABLE, _TARGET_TABLE = "source_embedding.tokens.weight", "target_embedding.tokens.weight"
_OUTPUT_TABLE = "output.weight"
# Tables of sinusoids, by whether norms come first.
POSITIONS = {
    is_pre_norm: tuple(f"model.{part}.embed_positions.{name}" for part in ("encoder", "decoder"))
    for is_pre_norm, name in ((False, "weight"), (True, "weights"))
}
_PARTS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
_POSITION_TOLERANCE = 1e-3  # a table may be in half precision

Shape = tuple[int, ...]
Place = tuple[str, Shape]  # what a tensor is called here, and its shape, which is the same there


def places(options: TransformersOptions) -> dict[str, Place]:
    """Where each tensor of the layers goes, by its name in Transformers."""
    entries: dict[str, Place] = {}
    if options.has_output_bias:
        entries[BIAS] = ("output.bias", (1, options.target_vocabulary))
    for part in ("encoder", "decoder") if options.is_pre_norm else ():
        entries |= _affine(f"model.{part}.layer_norm", f"{part}_norm", (options.model,))
    for part, depth in (("encoder", options.encoder_layers), ("decoder", options.decoder_layers)):
        for i in range(depth):
            theirs, ours = f"model.{part}.layers.{i}", f"{part}_layers.{i}"
            entries |= _attention(
                f"{theirs}.self_attn", f"{ours}.self_attention", f"{ours}.around_self", options
            )
            if part == "decoder":
                entries |= _attention(
                    f"{theirs}.encoder_attn", f"{ours}.cross_attention", f"{ours}.around_cross", options
                )
            entries |= _feed_forward(theirs, ours, options)
    return entries


def _attention(theirs: str, ours: str, around: str, options: TransformersOptions) -> dict[str, Place]:
    size = options.model
    entries: dict[str, Place] = {}
    for name, part in _PARTS.items():
        entries |= _affine(f"{theirs}.{name}", f"{ours}.{part}", (size, size))
    return entries | _affine(f"{theirs}_layer_norm", f"{around}.norm", (size,))


def _feed_forward(theirs: str, ours: str, options: TransformersOptions) -> dict[str, Place]:
    size, inner = options.model, options.feed_forward
    return {
        **_affine(f"{theirs}.fc1", f"{ours}.feed_forward.0", (inner, size)),
        **_affine(f"{theirs}.fc2", f"{ours}.feed_forward.2", (size, inner)),
        **_affine(f"{theirs}.final_layer_norm", f"{ours}.around_feed_forward.norm", (size,)),
    }


def _affine(theirs: str, ours: str, shape: Shape) -> dict[str, Place]:
    return {
        f"{theirs}.weight": (f"{ours}.weight", shape),
        f"{theirs}.bias": (f"{ours}.bias", shape[:1]),
    }


def ties(options: TransformersOptions) -> dict[str, tuple[str, ...]]:
    """By each table that we have what it may be called there; of several names one is enough."""
    if options.has_one_table:
        shared = (SHARED, SOURCE, TARGET)
        if options.ties_output:
            return {_SOURCE_TABLE: (*shared, OUTPUT)}
        return {_SOURCE_TABLE: shared, _TARGET_TABLE: shared, _OUTPUT_TABLE: (OUTPUT,)}
    if options.ties_output:
        return {_SOURCE_TABLE: (SOURCE,), _TARGET_TABLE: (TARGET, OUTPUT)}
    return {_SOURCE_TABLE: (SOURCE,), _TARGET_TABLE: (TARGET,), _OUTPUT_TABLE: (OUTPUT,)}


def weights_of(tensors: Mapping[str, Tensor], options: TransformersOptions) -> dict[str, Tensor]:
    """The weights under the names that a checkpoint has.

    Raises:
        ForeignModelError: lists every tensor that is missing, unexpected, of another shape, unlike one that
            it must equal, or a table of positions that is not the sinusoids that are computed here.
    """
    expected, tables = places(options), ties(options)
    faults = (*_layer_faults(tensors, options), *_table_faults(tensors, options))
    require(list(dict.fromkeys(faults)), "tensors")
    weights = {ours: tensors[theirs] for theirs, (ours, _) in expected.items()}
    if options.has_output_bias:
        weights["output.bias"] = tensors[BIAS].reshape(-1).clone()
    for ours, names in tables.items():
        weights[ours] = next(tensors[name] for name in names if name in tensors)
    return weights


def _layer_faults(tensors: Mapping[str, Tensor], options: TransformersOptions) -> Iterator[str]:
    expected = places(options)
    known = expected.keys() | {name for names in ties(options).values() for name in names}
    known |= set(POSITIONS[options.is_pre_norm])
    yield from (f"{name} is missing" for name in sorted(expected.keys() - tensors.keys()))
    yield from (f"{name} is not expected" for name in sorted(tensors.keys() - known))
    for name in sorted(expected.keys() & tensors.keys()):
        yield from _shape_fault(name, tensors[name], expected[name][1])


def _table_faults(tensors: Mapping[str, Tensor], options: TransformersOptions) -> Iterator[str]:
    for ours, names in ties(options).items():
        rows = options.source_vocabulary if ours == _SOURCE_TABLE else options.target_vocabulary
        present = [name for name in names if name in tensors]
        if not present:
            yield f"{names[0]} is missing"
        for name in present:
            yield from _shape_fault(name, tensors[name], (rows, options.model))
            if not torch.equal(tensors[name], tensors[present[0]]):
                yield f"{name} is unlike {present[0]}, to which it is tied"
    for name in sorted(tensors.keys() & set(POSITIONS[options.is_pre_norm])):
        yield from _position_faults(name, tensors[name], options)


def _position_faults(name: str, table: Tensor, options: TransformersOptions) -> Iterator[str]:
    first = options.first_position  # the rows before it belong to no token
    shape = (options.max_positions + first, options.model)
    if tuple(table.shape) != shape:
        yield from _shape_fault(name, table, shape)
        return
    sinusoids = SinusoidalPositions(
        options.model,
        layout="halves",
        denominator=options.position_denominator,
        first_position=first,
    )
    table, positions = table[first:], sinusoids(torch.arange(options.max_positions))
    if not torch.allclose(table, positions, rtol=0, atol=_POSITION_TOLERANCE):
        yield f"{name} is not Transformers' sinusoids, only those are supported"


def _shape_fault(name: str, tensor: Tensor, shape: Shape) -> Iterator[str]:
    if tuple(tensor.shape) != shape:
        yield f"{name} has shape {tuple(tensor.shape)}, must be {shape}"
