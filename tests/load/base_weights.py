"""Crafted weights of OPUS-MT's size, random but for two things: targets are of the frequent words, whose
embeddings are the longest, and each target ends where its source says.

A source's second token is its *marker* for a target length n. Some dimensions of the residual stream
are reserved: every token's embedding is zero there and no layer writes to them, so in the decoder they
hold the sinusoids of the step, its *clock*. One head of the last cross-attention scores the marker by

    a · (sum of clock(t)_d · clock(n - 1)_d over d - threshold)

which is far above 0 at t = n - 1 and far below at any other step; all other sources positions score
near 0. What the head finds at the marker is written to the *flag*, and the output row of END_ID reads
flag - constant. Its logit is then far above all others at step n and far below them before, after any
prefix, so greedy and beam searches of any system and precision end there. Every product reads
differences to a dimension that is 0, so that the mean which LayerNorm subtracts cancels out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.networks.attention import MultiHeadAttention
from model.networks.config import TransformerConfig
from model.networks.embeddings import SinusoidalPositions
from model.networks.transformer import DecoderLayer, EncoderLayer, FeedForward, Transformer
from model.text.sentencepiece_tokenizer import END_ID

MAX_TARGET_LENGTH = 64
VOCABULARY_SIZE = 32_000
FIRST_MARKER_ID = 6  # after the special ids and two language tags
FIRST_WORD_ID = FIRST_MARKER_ID + MAX_TARGET_LENGTH
NUM_FREQUENT = 1000  # the first words: targets consist of them, as those of a text mostly do

_SIZE = 512
_NUM_CLOCK = 62  # 31 pairs, all frequencies from 1 to 0.3
_CLOCK = list(range(_NUM_CLOCK))
_SLOW_SINES = list(range(376, 512, 2))  # sin(p · 1e-3) and slower: 0 at every position that occurs
_KEY = _SLOW_SINES[:_NUM_CLOCK]
_THRESHOLD, _MARKER, _SOURCE_ZERO, _FLAG, _FINAL_ZERO = _SLOW_SINES[_NUM_CLOCK : _NUM_CLOCK + 5]
_ONES = list(range(497, 512, 2))  # cosines so slow that they are 1
_TARGET_ZEROS = _KEY[-len(_ONES) :]  # no target has a marker
_RESERVED = [*_CLOCK, *_SLOW_SINES, *_ONES]
_FREE = [d for d in range(_SIZE) if d not in set(_RESERVED)]

_EMBEDDING_STD = 2.0  # sinusoids have 0.7: the token must count for more than its place
_RARE_SHARE = 0.5  # how long the embedding of a word is that no target has
_MARKER_SHARE = 0.3  # how random a marker is: its key must survive int8 with one scale a row
_ATTENTION_GAIN = 3.0  # of queries and keys: larger is sharper
_ATTENTION_STD = 0.4  # what attention to one position adds to the residual stream
_FEED_FORWARD_STD = 1.2  # what a feed-forward network adds: much, or tokens repeat themselves
_LOGIT_GAIN = 2.5  # the final norm's, makes the best of 32,000 tokens about 30 % probable
_SIGNAL_GAIN = 4.0  # the norms', so that clock and key stand out of what int8 rounds away
_QUERY_GAIN = 60.0
_FLAG_VALUE = 4.0  # about, after
_MEMORY_SCALE = 1.5  # the marker's value in the encoder's output
_END_GAIN = 8.0
_END_WEIGHT = 12.0


def base_config() -> TransformerConfig:
    """The shape of OPUS-MT's models."""
    return TransformerConfig(
        vocabulary_size=VOCABULARY_SIZE,
        model_size=_SIZE,
        num_heads=8,
        feed_forward_size=2048,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dropout=0.0,
    )


@torch.no_grad()
def base_model() -> Transformer:
    """The crafted model, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer(base_config())
        _embed(model.source_embedding.tokens.weight)
        for layer in [*model.encoder_layers, *model.decoder_layers]:
            assert isinstance(layer, EncoderLayer | DecoderLayer)
            _randomise(layer)
        last = model.decoder_layers[-1]
        assert isinstance(last, DecoderLayer)
        _watch_clock(last.cross_attention)
        last.around_cross.norm.weight[[*_CLOCK, *_ONES, *_TARGET_ZEROS]] = _SIGNAL_GAIN
        assert isinstance(model.encoder_norm, nn.LayerNorm)
        model.encoder_norm.weight[[*_KEY, _THRESHOLD, _MARKER, _SOURCE_ZERO]] = _SIGNAL_GAIN
        assert isinstance(model.decoder_norm, nn.LayerNorm)
        gain = model.decoder_norm.weight.zero_()
        signs = torch.randint(0, 2, (len(_FREE),)) * 2 - 1  # with one sign, each token would repeat itself
        gain[_FREE] = _LOGIT_GAIN * signs
        gain[[*_ONES, _FLAG, _FINAL_ZERO]] = _END_GAIN
    return model.eval().requires_grad_(requires_grad=False)


def _clocks() -> Tensor:
    """What the clock shows at each step (T, 62)."""
    positions: Tensor = SinusoidalPositions(_SIZE)(torch.arange(MAX_TARGET_LENGTH))  # (T, E)
    return positions[:, :_NUM_CLOCK]


def threshold() -> float:
    """Half way between the product of a clock with itself and that with the most similar other one."""
    products = _clocks() @ _clocks().T  # (T, T)
    own = float(products.diagonal().min())
    return (own + float(products.fill_diagonal_(-math.inf).max())) / 2


def _embed(embeddings: Tensor) -> None:
    """Fill (V, E)."""
    embeddings.normal_(std=_EMBEDDING_STD)
    embeddings[:, _RESERVED] = 0
    embeddings[FIRST_WORD_ID + NUM_FREQUENT :] *= _RARE_SHARE
    markers = slice(FIRST_MARKER_ID, FIRST_WORD_ID)
    embeddings[markers] *= _MARKER_SHARE
    embeddings[markers, _KEY] = _clocks()
    embeddings[markers, [_THRESHOLD, _MARKER]] = 1
    embeddings /= math.sqrt(_SIZE)
    embeddings[END_ID] = 0
    embeddings[END_ID, _ONES] = -_END_WEIGHT / len(_ONES)
    embeddings[END_ID, _FLAG] = 2.5 * _END_WEIGHT / _FLAG_VALUE
    embeddings[END_ID, _FINAL_ZERO] = -embeddings[END_ID].sum()


def _randomise(layer: EncoderLayer | DecoderLayer) -> None:
    for module in layer.modules():
        if isinstance(module, MultiHeadAttention):
            _fill(module.query, _ATTENTION_GAIN)
            _fill(module.key, _ATTENTION_GAIN)
            _fill(module.value, 1)
            _fill(module.output, _ATTENTION_STD, is_written=True)
        elif isinstance(module, FeedForward):
            _fill(_linear(module[0]), 1)
            _fill(_linear(module[2]), math.sqrt(2) * _FEED_FORWARD_STD, is_written=True)  # ReLU halves


def _linear(module: nn.Module) -> nn.Linear:
    assert isinstance(module, nn.Linear)
    return module


def _fill(linear: nn.Linear, gain: float, *, is_written: bool = False) -> None:
    linear.weight.normal_(std=gain / math.sqrt(linear.in_features))
    linear.bias.normal_(std=0.02 * gain)
    if is_written:
        linear.weight -= linear.weight.mean(dim=1, keepdim=True)
        linear.weight[_RESERVED] = 0
        linear.bias[_RESERVED] = 0
    else:
        linear.weight[:, [*_SLOW_SINES, *_ONES]] = 0


def _watch_clock(attention: MultiHeadAttention) -> None:
    """Make the first head write the flag when the clock shows what the marker says."""
    head = slice(0, _SIZE // attention.num_heads)
    for linear in (attention.query, attention.key, attention.value):
        linear.weight[head] = 0
        linear.bias[head] = 0
    attention.output.weight[:, head] = 0
    at = range(_NUM_CLOCK)
    query, key = attention.query.weight, attention.key.weight
    query[at, _CLOCK] = _QUERY_GAIN
    query[at, _TARGET_ZEROS[0]] = -_QUERY_GAIN
    key[at, _KEY] = 1
    key[at, _SOURCE_ZERO] = -1
    query[_NUM_CLOCK, _ONES] = _QUERY_GAIN * threshold() / len(_ONES)
    query[_NUM_CLOCK, _TARGET_ZEROS] = -_QUERY_GAIN * threshold() / len(_ONES)
    key[_NUM_CLOCK, _THRESHOLD] = -1
    key[_NUM_CLOCK, _SOURCE_ZERO] = 1
    attention.value.weight[0, _MARKER] = 1
    attention.value.weight[0, _SOURCE_ZERO] = -1
    attention.output.weight[_FLAG, 0] = _FLAG_VALUE / _MEMORY_SCALE
