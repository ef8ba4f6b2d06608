"""Our Transformer of a Marian network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import load_weights
from model.importers.errors import named
from model.importers.marian_options import MarianNetwork
from model.networks.config import TransformerConfig
from model.networks.transformer import Transformer
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import TargetLimit
from model.text.tokenizer import Tokenizer

_NORM_EPSILON = 1e-9


def build_marian(
    path: Path,
    network: MarianNetwork,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    target_limit: TargetLimit,
    length_penalty: LengthPenalty,
) -> Transformer:
    """A model in evaluation mode that computes what Marian does.

    Args:
        path: Of the file, for an error's message.
        weights: By the names that a checkpoint has.

    Raises:
        ForeignModelError: The network is impossible.
    """
    config = named(path, lambda: _config(network, tokenizer, target_limit, length_penalty))
    model = Transformer(config)
    # Marian never lets a decoder say that it does not know.
    bias = weights["output.bias"].clone()
    bias[tokenizer.special_ids.unknown] = -torch.inf
    load_weights(model, {**weights, "output.bias": bias})
    return model.eval()


def _config(
    network: MarianNetwork, tokenizer: Tokenizer, target_limit: TargetLimit, length_penalty: LengthPenalty
) -> TransformerConfig:
    return TransformerConfig(
        vocabulary_size=network.vocabulary,
        source_vocabulary_size=network.source_vocabulary,
        model_size=network.model,
        num_heads=network.heads,
        feed_forward_size=network.feed_forward,
        num_encoder_layers=network.encoder_layers,
        num_decoder_layers=network.decoder_layers,
        norm="post",
        norm_epsilon=_NORM_EPSILON,
        activation=network.activation,
        position_layout="halves",
        position_denominator="half_less_one",
        decoder_layer=network.decoder_layer,
        start_embedding="zero",
        tie_embeddings=network.ties_output,
        output_bias=True,
        special_ids=tokenizer.special_ids,
        target_limit=target_limit,
        length_penalty=length_penalty,
    )
