"""Our Transformer in CTranslate2, https://github.com/OpenNMT/CTranslate2, the peer that is hard to beat."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from ctranslate2.converters import utils as converter_utils
from ctranslate2.specs import attention_spec, common_spec, transformer_spec
from torch import nn

from model.networks.attention import MultiHeadAttention
from model.networks.embeddings import Embedding
from model.networks.transformer import DecoderLayer, EncoderLayer, FeedForward, Transformer
from model.text.sentencepiece_tokenizer import END_ID, START_ID, UNKNOWN_ID
from model.text.tokenizer import Tokenizer

_MAX_POSITIONS = 1024
_BATCH_TOKENS = 2048  # its best setting on this project's machines: more or less is slower
_ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "silu": common_spec.Activation.SWISH,
}
_VOCABULARY_NAME = "shared_vocabulary.json"
VOCABULARY_MAP_NAME = "vmap.txt"


def ctranslate2_model(
    model: Transformer, tokenizer: Tokenizer, folder: Path, quantization: str = "int8"
) -> Path:
    """Convert a model and write it; nothing is added to sources, targets begin with START_ID.

    Args:
        quantization: "int8" or "float32".
    """
    model = copy.deepcopy(model)  # quantization works in place
    config = model.config
    spec = transformer_spec.TransformerSpec.from_config(
        (config.num_encoder_layers, config.num_decoder_layers),
        config.num_heads,
        pre_norm=config.norm == "pre",
        activation=_ACTIVATIONS[config.activation],
    )
    _set_embedding(spec.encoder, model.source_embedding, spec.encoder.embeddings[0])
    _set_embedding(spec.decoder, model.target_embedding, spec.decoder.embeddings)
    for layer_spec, encoder_layer in zip(spec.encoder.layer, model.encoder_layers, strict=True):
        _set_encoder_layer(layer_spec, encoder_layer)
    for layer_spec, decoder_layer in zip(spec.decoder.layer, model.decoder_layers, strict=True):
        _set_decoder_layer(layer_spec, decoder_layer)
    if config.norm == "pre":
        _set_norm(spec.encoder.layer_norm, model.encoder_norm)
        _set_norm(spec.decoder.layer_norm, model.decoder_norm)
    spec.decoder.projection.weight = model.output.weight.detach()
    pieces = [tokenizer.piece(i) for i in range(tokenizer.size)]
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.config.unk_token = pieces[UNKNOWN_ID]
    spec.config.bos_token = spec.config.decoder_start_token = pieces[START_ID]
    spec.config.eos_token = pieces[END_ID]
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    return folder


def _set_embedding(stack: Any, embedding: Embedding, tokens: Any) -> None:
    tokens.weight = embedding.tokens.weight.detach()
    stack.scale_embeddings = True
    assert embedding.positions is not None
    positions = embedding.positions(torch.arange(_MAX_POSITIONS))
    stack.position_encodings.encodings = positions.detach().clone()  # a tensor of its own, with no gaps


def _set_encoder_layer(spec: Any, layer: nn.Module) -> None:
    assert isinstance(layer, EncoderLayer)
    _set_attention(spec.self_attention, layer.self_attention, layer.around_self.norm)
    _set_feed_forward(spec.ffn, layer.feed_forward, layer.around_feed_forward.norm)


def _set_decoder_layer(spec: Any, layer: nn.Module) -> None:
    assert isinstance(layer, DecoderLayer)
    _set_attention(spec.self_attention, layer.self_attention, layer.around_self.norm)
    _set_attention(spec.attention, layer.cross_attention, layer.around_cross.norm)
    _set_feed_forward(spec.ffn, layer.feed_forward, layer.around_feed_forward.norm)


def _set_attention(
    spec: attention_spec.MultiHeadAttentionSpec, attention: MultiHeadAttention, norm: nn.LayerNorm
) -> None:
    """Fuse what reads the same input: all three in self-attention, keys and values of the source."""
    linears = [_linear(layer) for layer in (attention.query, attention.key, attention.value)]
    if len(spec.linear) == 2:
        converter_utils.fuse_linear(spec.linear[0], linears)
    else:
        _set_linear(spec.linear[0], attention.query)
        converter_utils.fuse_linear(spec.linear[1], linears[1:])
    _set_linear(spec.linear[-1], attention.output)
    _set_norm(spec.layer_norm, norm)


def _linear(linear: nn.Linear) -> common_spec.LinearSpec:
    spec = common_spec.LinearSpec()
    _set_linear(spec, linear)
    return spec


def _set_linear(spec: common_spec.LinearSpec, linear: nn.Linear) -> None:
    spec.weight, spec.bias = linear.weight.detach(), linear.bias.detach()


def _set_feed_forward(spec: Any, feed_forward: FeedForward, norm: nn.LayerNorm) -> None:
    first, second = feed_forward[0], feed_forward[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    _set_linear(spec.linear_0, first)
    _set_linear(spec.linear_1, second)
    _set_norm(spec.layer_norm, norm)


def _set_norm(spec: common_spec.LayerNormSpec, norm: nn.Module) -> None:
    assert isinstance(norm, nn.LayerNorm)
    spec.gamma, spec.beta = norm.weight.detach(), norm.bias.detach()


def write_vocabulary_map(folder: Path, candidates: Mapping[str, Sequence[str]]) -> Path:
    """Give a converted model, before it is loaded, the target pieces that each source piece may bring.

    A source's targets are then chosen among those of its pieces, as with our shortlist; unknown, start and
    end are always among them. The pieces of the empty source piece are allowed for every source.
    """
    path = folder / VOCABULARY_MAP_NAME
    lines = (f"{source}\t{' '.join(targets)}\n" for source, targets in candidates.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


class CTranslate2Peer:
    """A converted model behind the calls that `Ours` has.

    Args:
        folder: From `ctranslate2_model`; a vocabulary map in it is used.
        inter_threads: Batches translated at once.
        intra_threads: Threads in one batch.
    """

    def __init__(self, folder: Path, *, inter_threads: int, intra_threads: int) -> None:
        self._translator = ctranslate2.Translator(
            str(folder), device="cpu", inter_threads=inter_threads, intra_threads=intra_threads
        )
        self._tokens: list[str] = json.loads((folder / _VOCABULARY_NAME).read_text(encoding="utf-8"))
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        self._options = {"use_vmap": (folder / VOCABULARY_MAP_NAME).is_file()}

    def translate(
        self, sources: Sequence[Sequence[int]], beam_size: int, max_target_tokens: int
    ) -> list[list[int]]:
        """Best targets of source ids (tag and END_ID included), END_ID left out.

        Sorts and batches by itself, with the setting that was found to be its best.
        """
        results = self._translator.translate_batch(
            [[self._tokens[i] for i in source] for source in sources],
            batch_type="tokens",
            max_batch_size=_BATCH_TOKENS,
            beam_size=beam_size,
            max_input_length=0,
            max_decoding_length=max_target_tokens,
            **self._options,
        )
        return [[self._ids[token] for token in result.hypotheses[0]] for result in results]

    def translate_one(self, source: Sequence[int], beam_size: int, max_target_tokens: int) -> list[int]:
        """Translate one source alone."""
        return self.translate([source], beam_size, max_target_tokens)[0]
