"""Which class builds the network of a configuration, and a model again in fp16."""

from __future__ import annotations

from model.networks.config import ModelConfig, RecurrentConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer


def build_model(config: ModelConfig) -> EncoderDecoder:
    """A fresh, untrained model."""
    return Recurrent(config) if isinstance(config, RecurrentConfig) else Transformer(config)


def half_model(model: EncoderDecoder) -> EncoderDecoder:
    """A copy of a model with its weights in fp16, in evaluation mode."""
    half = build_model(model.config)
    half.load_state_dict(model.state_dict())
    return half.half().eval()
