"""Which class builds the network of a configuration."""

from __future__ import annotations

from model.architecture_config import ModelConfig, RecurrentConfig
from model.encoder_decoder import EncoderDecoder
from model.recurrent import Recurrent
from model.transformer import Transformer


def build_model(config: ModelConfig) -> EncoderDecoder:
    """A fresh, untrained model."""
    return Recurrent(config) if isinstance(config, RecurrentConfig) else Transformer(config)
