"""Which network the options of a Marian model say, if it is one that we have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.importers.errors import require

# What each must say: students of Firefox Translations and Bergamot all do.
_REQUIRED: dict[str, Any] = {
    "type": "transformer",
    "transformer-decoder-autoreg": "rnn",
    "dec-cell": "ssru",
    "transformer-preprocess": "",
    "transformer-postprocess": "dan",
    "transformer-postprocess-emb": "d",
    "transformer-ffn-activation": "relu",
    "transformer-ffn-depth": 2,
    "transformer-train-position-embeddings": False,
}
# What each must say where it is there at all: not every version of Marian writes it.
_IF_PRESENT: dict[str, Any] = {
    "input-types": [],
    "lemma-dim-emb": 0,
    "output-omit-bias": False,
    "right-left": False,
    "tied-embeddings-src": False,
    "transformer-decoder-dim-ffn": 0,
    "transformer-decoder-ffn-depth": 0,
    "transformer-no-affine": False,
    "transformer-no-bias": False,
    "transformer-no-projection": False,
    "transformer-pool": False,
    "transformer-postprocess-top": "",
    "transformer-rnn-projection": False,
    "transformer-tied-layers": [],
    "ulr": False,
}
_SIZES = ("dim-emb", "transformer-heads", "transformer-dim-ffn", "enc-depth", "dec-depth")
_LARGEST_SIZE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class MarianSizes:
    """The sizes of a Marian student.

    Args:
        vocabulary: V of the target, and of the source if they share it.
        source_vocabulary: Of a source with a vocabulary and embeddings of its own, else None.
        model: E.
        heads: H.
        feed_forward: Width of the feed-forward networks, the same in encoder and decoder.
        encoder_layers, decoder_layers: Depth of each stack.
    """

    vocabulary: int
    source_vocabulary: int | None
    model: int
    heads: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int


def read_options(options: Mapping[str, Any]) -> MarianSizes:
    """The sizes in a model's options, if all else that they say is supported.

    Raises:
        ForeignModelError: lists every option that is missing, impossible, or not supported, and what is.
    """
    faults = [
        _fault(options, name, value) for name, value in _REQUIRED.items() if _differs(options, name, value)
    ]
    faults += [
        _fault(options, name, value)
        for name, value in _IF_PRESENT.items()
        if name in options and _differs(options, name, value)
    ]
    faults += [
        f"{name} is {options.get(name)!r}, must be a whole number from 1 to {_LARGEST_SIZE}"
        for name in _SIZES
        if not _is_size(options.get(name))
    ]
    has_one_table = options.get("tied-embeddings-all")
    faults += _vocabulary_faults(options)
    require(faults, "options")
    size, heads, feed_forward, encoder_layers, decoder_layers = (options[name] for name in _SIZES)
    source, target = options["dim-vocabs"]
    return MarianSizes(
        vocabulary=target,
        source_vocabulary=None if has_one_table else source,
        model=size,
        heads=heads,
        feed_forward=feed_forward,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
    )


def _vocabulary_faults(options: Mapping[str, Any]) -> list[str]:
    """One table of embeddings for source, target and output; or one for the source, one for the others."""
    faults = []
    has_one_table = options.get("tied-embeddings-all")
    if has_one_table is not True and (
        has_one_table is not False or options.get("tied-embeddings") is not True
    ):
        faults.append(
            f"tied-embeddings-all is {has_one_table!r} and tied-embeddings "
            f"{options.get('tied-embeddings')!r}, one of them must be True"
        )
    vocabularies: Any = options.get("dim-vocabs")
    are_sizes = isinstance(vocabularies, list) and all(map(_is_size, vocabularies))
    if not are_sizes or len(vocabularies) != 2:
        faults.append(f"dim-vocabs is {vocabularies!r}, must be two sizes")
    elif has_one_table is True and vocabularies[0] != vocabularies[1]:
        faults.append(f"dim-vocabs is {vocabularies!r}, must be two equal sizes")
    return faults


def _differs(options: Mapping[str, Any], name: str, value: object) -> bool:
    """Whether an option says something else; 0 is not False here."""
    there = options.get(name)
    return type(there) is not type(value) or there != value


def _fault(options: Mapping[str, Any], name: str, value: object) -> str:
    there = repr(options[name]) if name in options else "missing"
    return f"{name} is {there}, only {value!r} is supported"


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= _LARGEST_SIZE
