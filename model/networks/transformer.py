"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.networks.attention import MultiHeadAttention, causal_mask
from model.networks.config import TransformerConfig
from model.networks.embeddings import Embedding, LearnedPositions, SinusoidalPositions
from model.networks.encoder_decoder import Decoded, EncoderDecoder
from model.networks.ssru import SSRU

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class FeedForward(nn.Sequential):
    """act(x W_1 + b_1) W_2 + b_2 at each position alone (section 3.3)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(
            nn.Linear(config.model_size, config.feed_forward_size),
            ACTIVATIONS[config.activation](),
            nn.Linear(config.feed_forward_size, config.model_size),
        )


class Residual(nn.Module):
    """x + f(norm(x)), or norm(x + f(x)): where the norm sits around a sublayer f.

    Source: post-norm Vaswani et al. 2017, section 3.1; pre-norm Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = _norm(config)
        self.is_pre_norm = config.norm == "pre"
        self.dropout = nn.Dropout(config.dropout)

    def before(self, x: Tensor) -> Tensor:
        """What the sublayer reads."""
        return self.norm(x) if self.is_pre_norm else x

    def after(self, x: Tensor, sublayer_output: Tensor) -> Tensor:
        """The residual sum."""
        total = x + self.dropout(sublayer_output)
        return total if self.is_pre_norm else self.norm(total)  # type: ignore[no-any-return]


def _norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.model_size, eps=config.norm_epsilon)


def _attention(config: TransformerConfig) -> MultiHeadAttention:
    return MultiHeadAttention(config.model_size, config.num_heads, is_scaled=config.scale_attention)


class EncoderLayer(nn.Module):
    """Self-attention over the source, then the feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = _attention(config)
        self.feed_forward = FeedForward(config)
        self.around_self = Residual(config)
        self.around_feed_forward = Residual(config)

    def forward(self, x: Tensor, is_masked: Tensor | None) -> Tensor:
        """x: (B, S, E); is_masked: (B, 1, 1, S), True at padding."""
        inner = self.around_self.before(x)
        x = self.around_self.after(x, self.self_attention(inner, inner, is_masked)[0])
        return self.around_feed_forward.after(x, self.feed_forward(self.around_feed_forward.before(x)))


class AnyDecoderLayer(nn.Module):
    """What the target has been so far, cross-attention over the source, then the feed-forward network.

    Kinds of it differ in the first part, which they add before `add_rest`.
    """

    def add_rest(self, config: TransformerConfig) -> None:
        """The parts that all kinds have."""
        self.cross_attention = _attention(config)
        self.feed_forward = FeedForward(config)
        self.around_self = Residual(config)
        self.around_cross = Residual(config)
        self.around_feed_forward = Residual(config)

    def look_back(self, x: Tensor, is_future: Tensor) -> Tensor:
        """What each position of x (B, T, E) makes of itself and those before it: (B, T, E)."""
        raise NotImplementedError

    def forward(
        self, x: Tensor, memory: Tensor, is_future: Tensor, source_is_masked: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Also returns the weights over the source (B, H, T, S).

        x: (B, T, E); memory: (B, S, E); is_future: (T, T); source_is_masked: (B, 1, 1, S).
        """
        x = self.around_self.after(x, self.look_back(self.around_self.before(x), is_future))
        attended, weights = self.cross_attention(self.around_cross.before(x), memory, source_is_masked)
        x = self.around_cross.after(x, attended)
        return self.around_feed_forward.after(
            x, self.feed_forward(self.around_feed_forward.before(x))
        ), weights


class DecoderLayer(AnyDecoderLayer):
    """A decoder layer that looks back by causal self-attention (section 3.2.3)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = _attention(config)
        self.add_rest(config)

    def look_back(self, x: Tensor, is_future: Tensor) -> Tensor:
        """Attend from each position to itself and those before it."""
        return self.self_attention(x, x, is_future)[0]  # type: ignore[no-any-return]


class SSRUDecoderLayer(AnyDecoderLayer):
    """A decoder layer that carries one vector along in place of looking back, see `SSRU`."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.ssru = SSRU(config.model_size)
        self.add_rest(config)

    def look_back(self, x: Tensor, is_future: Tensor) -> Tensor:
        """Run the recurrence, which sees no later position anyway."""
        del is_future
        return self.ssru(x)  # type: ignore[no-any-return]


_DECODER_LAYERS = {"self_attention": DecoderLayer, "ssru": SSRUDecoderLayer}


class Transformer(EncoderDecoder):
    """An encoder-decoder of attention alone; its memory is the encoded source (B, S, E)."""

    config: TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        size = config.model_size
        source_tokens = nn.Embedding(config.num_source_pieces, size)
        is_one_table = config.tie_embeddings and config.source_vocabulary_size is None
        target_tokens = source_tokens if is_one_table else nn.Embedding(config.vocabulary_size, size)
        self.source_embedding = Embedding(
            source_tokens, self._positions(), config.dropout, is_scaled=config.scale_embeddings
        )
        self.target_embedding = Embedding(
            target_tokens,
            self._positions(),
            config.dropout,
            is_scaled=config.scale_embeddings,
            has_zero_start=config.start_embedding == "zero",
        )
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))
        kind = _DECODER_LAYERS[config.decoder_layer]
        self.decoder_layers = nn.ModuleList(kind(config) for _ in range(config.num_decoder_layers))
        is_pre_norm = config.norm == "pre"
        self.encoder_norm = _norm(config) if is_pre_norm else nn.Identity()
        self.decoder_norm = _norm(config) if is_pre_norm else nn.Identity()
        self.output = nn.Linear(size, config.vocabulary_size, bias=config.output_bias)
        self.initialise()
        if config.tie_embeddings:
            self.output.weight = target_tokens.weight

    def _positions(self) -> nn.Module | None:
        if self.config.positions == "none":
            return None
        if self.config.positions == "learned":
            return LearnedPositions(self.config.max_positions, self.config.model_size)
        return SinusoidalPositions(
            self.config.model_size,
            layout=self.config.position_layout,
            denominator=self.config.position_denominator,
            first_position=self.config.first_position,
        )

    def encode(self, source: Tensor, source_is_padding: Tensor | None = None) -> Tensor:
        """Encode sources once.

        Args:
            source: Token ids (B, S).
            source_is_padding: (B, S), True at padding; None when there is none.

        Returns:
            The memory (B, S, E); what stands at padding has no meaning.
        """
        x = self.source_embedding(source, torch.arange(source.shape[1], device=source.device))  # (B, S, E)
        is_masked = broadcast_over_queries(source_is_padding)
        for layer in self.encoder_layers:
            x = layer(x, is_masked)
        return self.encoder_norm(x)  # type: ignore[no-any-return]

    def decode_states(
        self, target: Tensor, memory: Tensor, source_is_padding: Tensor | None = None
    ) -> Decoded:
        """Run the decoder over targets (B, T), memory (B, S, E), see `EncoderDecoder`."""
        x = self.target_embedding(target, torch.arange(target.shape[1], device=target.device))  # (B, T, E)
        is_future = causal_mask(target.shape[1], target.device)
        source_is_masked = broadcast_over_queries(source_is_padding)
        attention = []
        for layer in self.decoder_layers:
            x, weights = layer(x, memory, is_future, source_is_masked)
            attention.append(weights)
        return Decoded(self.decoder_norm(x), tuple(attention))


def broadcast_over_queries(is_padding: Tensor | None) -> Tensor | None:
    """(B, S) to (B, 1, 1, S), the same for every head and query."""
    return None if is_padding is None else is_padding[:, None, None, :]
