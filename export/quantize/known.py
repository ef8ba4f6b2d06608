"""Rounding that came with a model: the steps of its matrices and the largest of their inputs, by matrix.

A graph holds some weights side by side in one matrix; each of its columns keeps the step of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.graphs.fused_attention import packed_projection, query_scale, scaled_query
from export.graphs.to_onnx import ExportError
from export.graphs.transformer import candidate_and_gate
from export.quantize.matrices import weight_key
from model.networks.attention import MultiHeadAttention
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.ssru import SSRU
from model.quantization import Quantization

_LARGEST_INTEGER = 127
_TOLERANCE = 1e-3  # of a step, for what dividing and multiplying by it rounds


@dataclass(frozen=True)
class KnownRounding:
    """What is known of matrices by their `weight_key`.

    Args:
        steps: For each output (out) what its integers are multiplied by.
        largest: The largest absolute value of the input.
    """

    steps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """Some columns of a matrix: a weight of the checkpoint times a scale."""

    name: str
    num_outputs: int
    scale: float = 1.0


def known_rounding(model: EncoderDecoder, quantization: Quantization) -> KnownRounding:
    """What a checkpoint's quantization says of the matrices that a model's graphs multiply.

    Raises:
        ExportError: A matrix is not made of the steps: the weights have changed since; lists all.
    """
    rounding = KnownRounding()
    faults = []
    for matrix, parts in _matrices(model):
        if not all(part.name in quantization for part in parts):
            continue
        step = np.concatenate(
            [np.full(p.num_outputs, quantization[p.name].step * p.scale, np.float32) for p in parts]
        )
        integers = matrix / step  # (in, out)
        if np.abs(integers - np.rint(integers)).max() > _TOLERANCE or (
            np.abs(integers).max() > _LARGEST_INTEGER + _TOLERANCE
        ):
            faults.append(" and ".join(part.name for part in parts))
            continue
        key = weight_key(matrix)
        rounding.steps[key] = step
        largest = [x for part in parts if (x := quantization[part.name].largest_input) is not None]
        if largest:
            rounding.largest[key] = max(largest)
    if faults:
        raise ExportError(
            f"quantization.json does not fit the weights, which have changed: {', '.join(faults)}; remove it"
        )
    return rounding


def _matrices(model: EncoderDecoder) -> Iterator[tuple[NDArray[np.float32], Sequence[_Part]]]:
    """Each matrix (in, out) that a graph may hold, and the weights of the checkpoint that lie in it."""
    first_names: dict[int, str] = {}  # of tied weights, as a checkpoint has them
    for name, tensor in model.state_dict().items():
        first_names.setdefault(tensor.data_ptr(), name)

    def part(layer: nn.Linear, scale: float = 1.0) -> _Part:
        return _Part(first_names[layer.weight.data_ptr()], layer.out_features, scale)

    for module in model.modules():
        if isinstance(module, nn.Linear):
            yield _matrix(module), [part(module)]
        elif isinstance(module, MultiHeadAttention):
            query = part(module.query, query_scale(module))
            yield _matrix(scaled_query(module)), [query]
            yield _matrix(packed_projection(module)), [query, part(module.key), part(module.value)]
        elif isinstance(module, SSRU):
            yield _matrix(candidate_and_gate(module)), [part(module.candidate), part(module.keep_gate)]


def _matrix(layer: nn.Linear) -> NDArray[np.float32]:
    matrix: NDArray[np.float32] = layer.weight.detach().numpy().T
    return matrix
