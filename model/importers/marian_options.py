"""Which network the options of a Marian model say, if it is one that we have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model.importers.errors import require

Activation = Literal["relu", "silu"]
DecoderLayer = Literal["self_attention", "ssru"]

Values = tuple[Any, ...]
# What every network of Marian's must say here.
_REQUIRED: dict[str, Values] = {
    "type": ("transformer",),
    "transformer-decoder-autoreg": ("self-attention", "rnn"),
    "transformer-preprocess": ("",),
    "transformer-postprocess": ("dan",),
    "transformer-postprocess-emb": ("d",),
    # Marian's GELU is not the same function in all of its versions.
    "transformer-ffn-activation": ("relu", "swish"),
    "transformer-ffn-depth": (2,),
}
# What students of Firefox Translations and Bergamot all say.
_STUDENT: dict[str, Values] = {
    "transformer-decoder-autoreg": ("rnn",),
    "transformer-ffn-activation": ("relu",),
    "transformer-train-position-embeddings": (False,),
}
# What each must say where it is there at all: not every version of Marian writes it.
_IF_PRESENT: dict[str, Values] = {
    "input-types": ([],),
    "lemma-dim-emb": (0,),
    "output-omit-bias": (False,),
    "right-left": (False,),
    "tied-embeddings-src": (False,),
    "transformer-decoder-dim-ffn": (0,),
    "transformer-decoder-ffn-depth": (0,),
    "transformer-no-affine": (False,),
    "transformer-no-bias": (False,),
    "transformer-no-projection": (False,),
    "transformer-pool": (False,),
    "transformer-postprocess-top": ("",),
    "transformer-rnn-projection": (False,),
    "transformer-tied-layers": ([],),
    "transformer-train-position-embeddings": (False,),
    "transformer-train-positions": (False,),
    "ulr": (False,),
}
_DECODERS: dict[str, DecoderLayer] = {"self-attention": "self_attention", "rnn": "ssru"}
_ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "swish": "silu"}
_SIZES = ("dim-emb", "transformer-heads", "transformer-dim-ffn", "enc-depth", "dec-depth")
_LARGEST_SIZE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class MarianNetwork:
    """What a model's options say of its network.

    Args:
        vocabulary: V of the target, and of the source if they share it.
        source_vocabulary: Of a source with a vocabulary and embeddings of its own, else None.
        ties_output: The output layer is the target's embeddings.
        model: E.
        heads: H.
        feed_forward: Width of the feed-forward networks, the same in encoder and decoder.
        encoder_layers, decoder_layers: Depth of each stack.
        decoder_layer, activation: As `TransformerConfig` calls them.
    """

    vocabulary: int
    source_vocabulary: int | None
    ties_output: bool
    model: int
    heads: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int
    decoder_layer: DecoderLayer
    activation: Activation


def read_options(options: Mapping[str, Any], *, is_student: bool = False) -> MarianNetwork:
    """The network in a model's options, if all that they say is supported.

    Args:
        is_student: Take what students of Firefox Translations and Bergamot are alone.

    Raises:
        ForeignModelError: lists every option that is missing, impossible, or not supported, and what is.
    """
    faults = [*_value_faults(options, is_student=is_student)]
    faults += [
        f"{name} is {options.get(name)!r}, must be a whole number from 1 to {_LARGEST_SIZE}"
        for name in _SIZES
        if not _is_size(options.get(name))
    ]
    faults += _vocabulary_faults(options, must_tie=is_student)
    require(faults, "options")
    size, heads, feed_forward, encoder_layers, decoder_layers = (options[name] for name in _SIZES)
    source, target = options["dim-vocabs"]
    has_one_table = options["tied-embeddings-all"]
    return MarianNetwork(
        vocabulary=target,
        source_vocabulary=None if has_one_table else source,
        ties_output=has_one_table or options["tied-embeddings"],
        model=size,
        heads=heads,
        feed_forward=feed_forward,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        decoder_layer=_DECODERS[options["transformer-decoder-autoreg"]],
        activation=_ACTIVATIONS[options["transformer-ffn-activation"]],
    )


def _value_faults(options: Mapping[str, Any], *, is_student: bool) -> Iterator[str]:
    required = _REQUIRED | (_STUDENT if is_student else {})
    if options.get("transformer-decoder-autoreg") == "rnn" or is_student:
        required["dec-cell"] = ("ssru",)  # without recurrence it is noise
    present = {name: values for name, values in _IF_PRESENT.items() if name in options}
    for name, values in (present | required).items():
        if not any(_is_same(options.get(name), value) for value in values):
            there = repr(options[name]) if name in options else "missing"
            yield f"{name} is {there}, only {' and '.join(map(repr, values))} is supported"


def _vocabulary_faults(options: Mapping[str, Any], *, must_tie: bool) -> list[str]:
    """One table of embeddings for source, target and output, or one for the source and one for the target."""
    faults = []
    has_one_table, ties_output = options.get("tied-embeddings-all"), options.get("tied-embeddings")
    if has_one_table is not True and (
        has_one_table is not False or (ties_output is not True and (must_tie or ties_output is not False))
    ):
        wanted = "one of them must be True" if must_tie else "each must be True or False"
        faults.append(
            f"tied-embeddings-all is {has_one_table!r} and tied-embeddings {ties_output!r}, {wanted}"
        )
    vocabularies: Any = options.get("dim-vocabs")
    are_sizes = isinstance(vocabularies, list) and all(map(_is_size, vocabularies))
    if not are_sizes or len(vocabularies) != 2:
        faults.append(f"dim-vocabs is {vocabularies!r}, must be two sizes")
    elif has_one_table is True and vocabularies[0] != vocabularies[1]:
        faults.append(f"dim-vocabs is {vocabularies!r}, must be two equal sizes")
    return faults


def _is_same(there: object, value: object) -> bool:
    """Whether an option says this; 0 is not False here."""
    return type(there) is type(value) and there == value


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= _LARGEST_SIZE
