"""What a network is: a frozen dataclass for each architecture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY, LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from model.text.special_ids import DEFAULT_SPECIAL_IDS, SpecialIds


class ConfigError(ValueError):
    """A configuration names an unknown field or an impossible value."""


def check(faults: list[str], where: str) -> None:
    """Refuse if there are faults.

    Raises:
        ConfigError: lists all of them.
    """
    if faults:
        raise ConfigError(f"{where}: " + "; ".join(faults))


def below_one(config: Any, names: Iterable[str]) -> list[str]:
    """A fault for each of these fields that is less than 1."""
    return [
        f"{name} is {getattr(config, name)}, must be at least 1"
        for name in names
        if getattr(config, name) < 1
    ]


def _not_allowed(config: Any, allowed: dict[str, tuple[str, ...]]) -> list[str]:
    return [
        f"{name} is {getattr(config, name)!r}, must be one of {', '.join(values)}"
        for name, values in allowed.items()
        if getattr(config, name) not in values
    ]


def _dropout_faults(dropout: float) -> list[str]:
    return [] if 0 <= dropout < 1 else [f"dropout is {dropout}, must be in [0, 1)"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of a Transformer (Vaswani et al. 2017, arXiv:1706.03762, table 3).

    Args:
        vocabulary_size: V of the target, and of the source too unless that has a vocabulary of its own.
        source_vocabulary_size: Of a source that shares neither vocabulary nor embeddings with the target;
            None for one that shares both.
        model_size: E, the width of embeddings and of every layer's output.
        num_heads: H; each head has E / H dimensions.
        feed_forward_size: Width of the inner layer of the feed-forward network.
        num_encoder_layers, num_decoder_layers: Depth of each stack.
        norm: "pre" normalises each sublayer's input, "post" its output after the residual sum.
        activation: Of the feed-forward network.
        norm_epsilon: What every norm adds to the variance.
        positions: "sinusoidal" needs no weights and has no limit; "learned" is a table; with "none" the
            encoder cannot tell the order of its tokens.
        position_layout, position_denominator, first_position: Of sinusoidal ones, see `SinusoidalPositions`.
        max_positions: Rows of the learned table; the longest source or target, in tokens.
        decoder_layer: How a target position sees those before it: by self-attention (section 3.2.3), or by
            the recurrence of an SSRU, see `SSRU`.
        start_embedding: What a decoder reads in place of a last token at its first position: the start
            id's embedding, or zeros.
        scale_attention: Divide attention's scores by √D (equation 1).
        scale_embeddings: Multiply embeddings by √E (section 3.4).
        tie_embeddings: One matrix for target and output embeddings, and for the source's where it shares the
            vocabulary (section 3.4).
        output_bias: Add a bias to the logits; minus infinity in it rules a token out for good.
        dropout: Probability of dropping an activation, in training only.
        special_ids: Those of the tokenizer that the model was trained with.
        target_limit: How long translations may get where nobody says so.
        length_penalty: How scores are compared across lengths.
    """

    architecture: Literal["transformer"] = "transformer"
    vocabulary_size: int
    source_vocabulary_size: int | None = None
    model_size: int = 256
    num_heads: int = 4
    feed_forward_size: int = 1024
    num_encoder_layers: int = 6
    num_decoder_layers: int = 2
    norm: Literal["pre", "post"] = "pre"
    norm_epsilon: float = 1e-5
    activation: Literal["relu", "gelu", "silu"] = "relu"
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    position_layout: Literal["interleaved", "halves"] = "interleaved"
    position_denominator: Literal["half", "half_less_one"] = "half"
    first_position: int = 0
    max_positions: int = 512
    decoder_layer: Literal["self_attention", "ssru"] = "self_attention"
    start_embedding: Literal["token", "zero"] = "token"
    scale_attention: bool = True
    scale_embeddings: bool = True
    tie_embeddings: bool = True
    output_bias: bool = False
    dropout: float = 0.1
    special_ids: SpecialIds = DEFAULT_SPECIAL_IDS
    target_limit: TargetLimit = DEFAULT_TARGET_LIMIT
    length_penalty: LengthPenalty = DEFAULT_LENGTH_PENALTY

    def __post_init__(self) -> None:
        sizes = (
            "vocabulary_size",
            "model_size",
            "num_heads",
            "feed_forward_size",
            "num_encoder_layers",
            "num_decoder_layers",
            "max_positions",
            *(["source_vocabulary_size"] if self.source_vocabulary_size is not None else []),
        )
        faults = below_one(self, sizes)
        if not faults and self.model_size % (2 * self.num_heads):
            faults.append(f"model_size {self.model_size} is no multiple of 2 x num_heads {self.num_heads}")
        if not faults and self.position_denominator == "half_less_one" and self.model_size < 4:
            faults.append(f"model_size {self.model_size} is too small to divide by half of it less one")
        if self.first_position < 0:
            faults.append(f"first_position is {self.first_position}, must be at least 0")
        if not self.norm_epsilon > 0:
            faults.append(f"norm_epsilon is {self.norm_epsilon}, must be above 0")
        allowed = {
            "architecture": ("transformer",),
            "norm": ("pre", "post"),
            "activation": ("relu", "gelu", "silu"),
            "positions": ("sinusoidal", "learned", "none"),
            "position_layout": ("interleaved", "halves"),
            "position_denominator": ("half", "half_less_one"),
            "decoder_layer": ("self_attention", "ssru"),
            "start_embedding": ("token", "zero"),
        }
        check([*faults, *_not_allowed(self, allowed), *_dropout_faults(self.dropout)], "model")

    @property
    def num_source_pieces(self) -> int:
        """V of the source."""
        return self.source_vocabulary_size or self.vocabulary_size

    @property
    def has_attention(self) -> bool:
        """Whether the decoder looks back at the source positions: always."""
        return True

    @property
    def head_size(self) -> int:
        """D = E / H."""
        return self.model_size // self.num_heads

    @property
    def most_positions(self) -> int | None:
        """The longest source or target, in tokens; None for no limit."""
        return self.max_positions if self.positions == "learned" else None


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """The shape of a recurrent encoder-decoder, without or with attention.

    Args:
        vocabulary_size: Joint source and target vocabulary V.
        cell: Plain tanh units (Elman 1990), LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al.
            2014, arXiv:1406.1078).
        embedding_size: Width of embeddings and of what the output layer reads.
        model_size: E, the width of the decoder's state and of each source position; each direction of
            a bidirectional encoder has half of it.
        num_encoder_layers, num_decoder_layers: Depth of each stack.
        bidirectional: The encoder reads the source in both directions.
        reverse_source: The encoder reads the source from its end (Sutskever et al. 2014, arXiv:1409.3215).
        attention: How the decoder scores source positions; "none" leaves it with one context vector.
        hard_attention: Look at one source position, the best, instead of the weighted mean of all.
        decoder: "luong" attends with the new state (Luong et al. 2015, arXiv:1508.04025), "bahdanau" with
            the one before, and feeds the context to the cell (Bahdanau et al. 2014, arXiv:1409.0473).
        context: The context vector gives the decoder's first state, and with "every_step" it is fed with
            every token too (Cho et al. 2014).
        tie_embeddings: One matrix for source, target and output embeddings.
        dropout: Probability of dropping an activation, in training only.
        special_ids: Those of the tokenizer that the model was trained with.
        target_limit: How long translations may get where nobody says so.
        length_penalty: How scores are compared across lengths.
    """

    architecture: Literal["recurrent"] = "recurrent"
    vocabulary_size: int
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    embedding_size: int = 256
    model_size: int = 256
    num_encoder_layers: int = 1
    num_decoder_layers: int = 1
    bidirectional: bool = True
    reverse_source: bool = False
    attention: Literal["none", "dot", "scaled_dot", "cosine", "general", "additive"] = "general"
    hard_attention: bool = False
    decoder: Literal["luong", "bahdanau"] = "luong"
    context: Literal["initial_state", "every_step"] = "initial_state"
    tie_embeddings: bool = True
    dropout: float = 0.1
    special_ids: SpecialIds = DEFAULT_SPECIAL_IDS
    target_limit: TargetLimit = DEFAULT_TARGET_LIMIT
    length_penalty: LengthPenalty = DEFAULT_LENGTH_PENALTY

    def __post_init__(self) -> None:
        sizes = (
            "vocabulary_size",
            "embedding_size",
            "model_size",
            "num_encoder_layers",
            "num_decoder_layers",
        )
        faults = below_one(self, sizes)
        allowed = {
            "architecture": ("recurrent",),
            "cell": ("rnn", "lstm", "gru"),
            "attention": ("none", "dot", "scaled_dot", "cosine", "general", "additive"),
            "decoder": ("luong", "bahdanau"),
            "context": ("initial_state", "every_step"),
        }
        faults += [*_not_allowed(self, allowed), *_dropout_faults(self.dropout)]
        if self.bidirectional and self.model_size % 2:
            faults.append(f"model_size {self.model_size} is odd, a bidirectional encoder halves it")
        if self.attention == "none" and (self.hard_attention or self.decoder == "bahdanau"):
            faults.append("attention is 'none', hard_attention and decoder 'bahdanau' need one")
        check(faults, "model")

    @property
    def num_source_pieces(self) -> int:
        """V, which source and target share."""
        return self.vocabulary_size

    @property
    def has_attention(self) -> bool:
        """Whether the decoder looks back at the source positions."""
        return self.attention != "none"

    @property
    def most_positions(self) -> int | None:
        """No limit on lengths."""
        return None


ModelConfig = TransformerConfig | RecurrentConfig
ARCHITECTURES: dict[str, type[ModelConfig]] = {
    "transformer": TransformerConfig,
    "recurrent": RecurrentConfig,
}
