"""From the tensors of a Marian network to the weights of our Transformer: names, shapes, transposes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from model.importers.errors import ForeignModelError, require
from model.importers.marian_file import MarianTensor
from model.importers.marian_options import MarianNetwork
from model.quantization import WeightQuantization

ALPHA_SUFFIX = "_QuantMultA"
_UNNAMED_ALPHA = f"none{ALPHA_SUFFIX}"  # that of the embeddings once more
_EMBEDDINGS, _SOURCE_EMBEDDINGS, _TARGET_EMBEDDINGS = "Wemb", "encoder_Wemb", "decoder_Wemb"
_OUTPUT, _OLD_OUTPUT = "decoder_ff_logit_out_Wt", "decoder_ff_logit_out_W"  # the older one is (E, V)
_TABLES = (_EMBEDDINGS, _SOURCE_EMBEDDINGS, _TARGET_EMBEDDINGS, _OUTPUT)
_LARGEST_INTEGER = 127
_ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "output"}

Shape = tuple[int, ...]
Place = tuple[str, Shape]  # what a tensor is called here, and its shape in Marian


def places(network: MarianNetwork, names: Container[str] = ()) -> dict[str, Place]:
    """Where each tensor of a network goes, by its name in Marian.

    Args:
        names: Of the tensors that there are: an output layer of its own has one of two.
    """
    entries = _embeddings(network, names)
    for i in range(network.encoder_layers):
        theirs, ours = f"encoder_l{i + 1}", f"encoder_layers.{i}"
        entries |= _attention(f"{theirs}_self", f"{ours}.self_attention", f"{ours}.around_self", network)
        entries |= _feed_forward(theirs, ours, network)
    for i in range(network.decoder_layers):
        theirs, ours = f"decoder_l{i + 1}", f"decoder_layers.{i}"
        if network.decoder_layer == "ssru":
            entries |= _recurrence(f"{theirs}_rnn", ours, network)
        else:
            entries |= _attention(f"{theirs}_self", f"{ours}.self_attention", f"{ours}.around_self", network)
        entries |= _attention(f"{theirs}_context", f"{ours}.cross_attention", f"{ours}.around_cross", network)
        entries |= _feed_forward(theirs, ours, network)
    return entries


def _embeddings(network: MarianNetwork, names: Container[str]) -> dict[str, Place]:
    source, target = "source_embedding.tokens.weight", "target_embedding.tokens.weight"
    shape = (network.vocabulary, network.model)
    entries: dict[str, Place] = {"decoder_ff_logit_out_b": ("output.bias", (1, network.vocabulary))}
    if network.source_vocabulary is None:
        return {_EMBEDDINGS: (source, shape), **entries}
    if not network.ties_output:
        is_old = _OLD_OUTPUT in names
        name, stored = (_OLD_OUTPUT, shape[::-1]) if is_old else (_OUTPUT, shape)
        entries[name] = ("output.weight", stored)
    return {
        _SOURCE_EMBEDDINGS: (source, (network.source_vocabulary, network.model)),
        _TARGET_EMBEDDINGS: (target, shape),
        **entries,
    }


def _attention(theirs: str, ours: str, around: str, network: MarianNetwork) -> dict[str, Place]:
    size = network.model
    entries: dict[str, Place] = {}
    for letter, part in _ATTENTION.items():
        entries[f"{theirs}_W{letter}"] = (f"{ours}.{part}.weight", (size, size))
        entries[f"{theirs}_b{letter}"] = (f"{ours}.{part}.bias", (1, size))
    return entries | _norm(f"{theirs}_Wo_ln", around, network)


def _feed_forward(theirs: str, ours: str, network: MarianNetwork) -> dict[str, Place]:
    size, inner = network.model, network.feed_forward
    return {
        f"{theirs}_ffn_W1": (f"{ours}.feed_forward.0.weight", (size, inner)),
        f"{theirs}_ffn_b1": (f"{ours}.feed_forward.0.bias", (1, inner)),
        f"{theirs}_ffn_W2": (f"{ours}.feed_forward.2.weight", (inner, size)),
        f"{theirs}_ffn_b2": (f"{ours}.feed_forward.2.bias", (1, size)),
        **_norm(f"{theirs}_ffn_ffn_ln", f"{ours}.around_feed_forward", network),
    }


def _recurrence(theirs: str, ours: str, network: MarianNetwork) -> dict[str, Place]:
    size = network.model
    return {
        f"{theirs}_W": (f"{ours}.ssru.candidate.weight", (size, size)),
        f"{theirs}_Wf": (f"{ours}.ssru.keep_gate.weight", (size, size)),
        f"{theirs}_bf": (f"{ours}.ssru.keep_gate.bias", (1, size)),
        **_norm(f"{theirs}_ffn_ln", f"{ours}.around_self", network),
    }


def _norm(theirs: str, around: str, network: MarianNetwork) -> dict[str, Place]:
    return {
        f"{theirs}_scale": (f"{around}.norm.weight", (1, network.model)),
        f"{theirs}_bias": (f"{around}.norm.bias", (1, network.model)),
    }


def weights_of(tensors: Mapping[str, MarianTensor], network: MarianNetwork) -> dict[str, Tensor]:
    """The weights under the names that a checkpoint has, matrices as PyTorch's linear layers want them.

    Raises:
        ForeignModelError: lists every tensor that is missing, unexpected, or of another shape; or it names
            one whose values are damaged.
    """
    expected = places(network, tensors)
    require(list(_faults(tensors, expected)), "tensors")
    weights = {}
    for theirs, (ours, shape) in expected.items():
        values = tensors[theirs].values
        if shape[0] == 1:
            values = values.reshape(-1)
        elif theirs not in _TABLES:
            values = values.T  # Marian multiplies x W, a linear layer x Wᵀ
        weights[ours] = torch.from_numpy(np.ascontiguousarray(values))
    return weights


def quantization_of(
    tensors: Mapping[str, MarianTensor], network: MarianNetwork
) -> dict[str, WeightQuantization]:
    """How the matrices that are int8 were rounded, by the names that a checkpoint has.

    Raises:
        ForeignModelError: A multiplier or an alpha is damaged.
    """
    return {
        ours: WeightQuantization(
            step=1 / tensors[theirs].multiplier, largest_input=_largest_input(tensors, theirs)
        )
        for theirs, (ours, _) in places(network, tensors).items()
        if tensors[theirs].is_integer
    }


def _largest_input(tensors: Mapping[str, MarianTensor], name: str) -> float | None:
    """Alpha is what the input was multiplied by before it was rounded to -127 ... 127."""
    alpha = tensors.get(f"{name}{ALPHA_SUFFIX}")
    if alpha is None:
        return None
    value = float(alpha.values[0, 0])
    if not value > 0:
        raise ForeignModelError(f"{alpha.name} is {value}, must be a number above 0")
    return _LARGEST_INTEGER / value


def _faults(tensors: Mapping[str, MarianTensor], expected: Mapping[str, Place]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(expected.keys() - tensors.keys()))
    for name in sorted(tensors.keys() - expected.keys()):
        is_alpha = name == _UNNAMED_ALPHA or name.removesuffix(ALPHA_SUFFIX) in expected
        if not (is_alpha and name.endswith(ALPHA_SUFFIX)):
            yield f"{name} is not expected"
        elif tensors[name].shape != (1, 1):
            yield f"{name} has shape {tensors[name].shape}, must be (1, 1)"
    for name in sorted(expected.keys() & tensors.keys()):
        if tensors[name].shape != expected[name][1]:
            yield f"{name} has shape {tensors[name].shape}, must be {expected[name][1]}"
