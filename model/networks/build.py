"""Which class builds the network of a configuration."""

from __future__ import annotations

from model.networks.config import ModelConfig, RecurrentConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer


def build_model(config: ModelConfig) -> EncoderDecoder:
    """A fresh, untrained model."""
    return Recurrent(config) if isinstance(config, RecurrentConfig) else Transformer(config)
