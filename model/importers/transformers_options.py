"""Which network a configuration of Transformers says, if it is one that we have: Marian's or M2M-100's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model.importers.errors import require

CONFIG_NAME = "config.json"
Activation = Literal["relu", "gelu", "silu"]
_ACTIVATIONS: dict[str, Activation] = {"swish": "silu", "silu": "silu", "relu": "relu", "gelu": "gelu"}
Denominator = Literal["half", "half_less_one"]
Kind = Literal["marian", "m2m_100"]
# What each must say where it is there at all: newer versions of Transformers write fewer of them.
_IF_PRESENT: dict[Kind, dict[str, Any]] = {
    "marian": {
        "add_bias_logits": False,
        "add_final_layer_norm": False,
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "static_position_embeddings": True,
    },
    "m2m_100": {
        "architectures": ["M2M100ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
    },
}
_SIZES = (
    "vocab_size",
    "d_model",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "max_position_embeddings",
)
_DEPTHS = ("encoder_layers", "decoder_layers")
_LARGEST_SIZE, _LARGEST_DEPTH = 1 << 20, 1000


@dataclass(frozen=True, kw_only=True)
class TransformersOptions:
    """What a configuration says of the network.

    Args:
        is_pre_norm: Norms stand before each part of a layer, and one at the end of each stack, as M2M-100 has
            them.
        source_vocabulary, target_vocabulary: V of each; one number where they share it.
        has_one_table: Source and target share their vocabulary and its embeddings.
        ties_output: The output layer is the target's embeddings.
        padding, start, end: Ids.
        max_positions: Rows of a table of positions, if the weights hold one.
    """

    is_pre_norm: bool
    source_vocabulary: int
    target_vocabulary: int
    has_one_table: bool
    ties_output: bool
    model: int
    heads: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int
    activation: Activation
    scale_embeddings: bool
    padding: int
    start: int
    end: int
    max_positions: int

    @property
    def has_output_bias(self) -> bool:
        """Whether the weights hold a bias of the logits: M2M-100's have none."""
        return not self.is_pre_norm

    @property
    def first_position(self) -> int:
        """What the first token's position counts as: M2M-100's begin behind the padding id."""
        return self.padding + 1 if self.is_pre_norm else 0

    @property
    def position_denominator(self) -> Denominator:
        """As `SinusoidalPositions` calls it."""
        return "half_less_one" if self.is_pre_norm else "half"


def read_options(fields: Mapping[str, Any], kind: Kind = "marian") -> TransformersOptions:
    """Read a config.json of a kind of model.

    Raises:
        ForeignModelError: lists every option that is missing, impossible, or not supported, and what is.
    """
    if fields.get("model_type") != kind:  # of another kind all else would be wrong too
        require([f"model_type is {fields.get('model_type')!r}, only {kind!r} is supported"], "options")
    fields = {"share_encoder_decoder_embeddings": True, "tie_word_embeddings": True, **fields}
    if fields.get("decoder_vocab_size") is None:
        fields["decoder_vocab_size"] = fields.get("vocab_size")
    require([*_faults(fields, kind)], "options")
    return TransformersOptions(
        is_pre_norm=kind == "m2m_100",
        source_vocabulary=fields["vocab_size"],
        target_vocabulary=fields["decoder_vocab_size"],
        has_one_table=fields["share_encoder_decoder_embeddings"],
        ties_output=fields["tie_word_embeddings"],
        model=fields["d_model"],
        heads=fields["encoder_attention_heads"],
        feed_forward=fields["encoder_ffn_dim"],
        encoder_layers=fields["encoder_layers"],
        decoder_layers=fields["decoder_layers"],
        activation=_ACTIVATIONS[fields["activation_function"]],
        scale_embeddings=fields["scale_embedding"],
        padding=fields["pad_token_id"],
        start=fields["decoder_start_token_id"],
        end=fields["eos_token_id"],
        max_positions=fields["max_position_embeddings"],
    )


def _faults(fields: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    for name, value in _IF_PRESENT[kind].items():
        if name in fields and (type(fields[name]) is not type(value) or fields[name] != value):
            yield f"{name} is {fields[name]!r}, only {value!r} is supported"
    for name in ("scale_embedding", "share_encoder_decoder_embeddings", "tie_word_embeddings"):
        if type(fields.get(name)) is not bool:
            yield f"{name} is {fields.get(name)!r}, must be true or false"
    activation = fields.get("activation_function")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        yield f"activation_function is {activation!r}, must be one of {', '.join(_ACTIVATIONS)}"
    yield from _size_faults(fields)
    yield from _vocabulary_faults(fields)


def _size_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    for names, largest in ((_SIZES, _LARGEST_SIZE), (_DEPTHS, _LARGEST_DEPTH)):
        for name in names:
            if not _is_between(fields.get(name), 1, largest):
                yield f"{name} is {fields.get(name)!r}, must be a whole number from 1 to {largest}"
    for part in ("attention_heads", "ffn_dim"):
        here, there = fields.get(f"encoder_{part}"), fields.get(f"decoder_{part}")
        if here != there:
            yield f"encoder_{part} is {here!r} and decoder_{part} {there!r}, only equal ones are supported"


def _vocabulary_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    source, target = fields.get("vocab_size"), fields["decoder_vocab_size"]
    if not _is_between(target, 1, _LARGEST_SIZE):
        yield f"decoder_vocab_size is {target!r}, must be a whole number from 1 to {_LARGEST_SIZE}"
        return
    if fields["share_encoder_decoder_embeddings"] is True and source != target:
        yield f"decoder_vocab_size is {target}, must be vocab_size, {source!r}, as embeddings are shared"
    for name in ("pad_token_id", "decoder_start_token_id", "eos_token_id"):
        if not _is_between(fields.get(name), 0, target - 1):
            yield f"{name} is {fields.get(name)!r}, must be an id below {target}"


def _is_between(value: object, lowest: int, largest: int) -> bool:
    return type(value) is int and lowest <= value <= largest
