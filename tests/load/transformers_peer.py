"""Our Transformer in Hugging Face Transformers, where it is like M2M-100: pre-norm and sinusoidal."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import M2M100Config, M2M100ForConditionalGeneration

from model.networks.config import TransformerConfig
from model.networks.embeddings import SinusoidalPositions
from model.networks.transformer import Transformer
from model.text.sentencepiece_tokenizer import END_ID, PADDING_ID, START_ID

_MAX_POSITIONS = 1024
_BATCH_SENTENCES = 32
_NAMES = {  # ours to theirs, in this order
    "encoder_layers.": "model.encoder.layers.",
    "decoder_layers.": "model.decoder.layers.",
    "encoder_norm.": "model.encoder.layer_norm.",
    "decoder_norm.": "model.decoder.layer_norm.",
    "source_embedding.tokens.": "model.shared.",
    "around_self.norm.": "self_attn_layer_norm.",
    "around_cross.norm.": "encoder_attn_layer_norm.",
    "around_feed_forward.norm.": "final_layer_norm.",
    "feed_forward.0.": "fc1.",
    "feed_forward.2.": "fc2.",
    "self_attention.": "self_attn.",
    "cross_attention.": "encoder_attn.",
    ".query.": ".q_proj.",
    ".key.": ".k_proj.",
    ".value.": ".v_proj.",
    "attn.output.": "attn.out_proj.",
}


class NotM2M100(ValueError):
    """A model that Transformers has no architecture for."""


def transformers_model(model: Transformer) -> M2M100ForConditionalGeneration:
    """Our weights in Transformers, in fp32.

    Raises:
        NotM2M100: post-norm, other positions, untied embeddings, or not ReLU.
    """
    config = model.config
    shape = (config.norm, config.positions, config.activation, config.tie_embeddings, config.scale_attention)
    if shape != ("pre", "sinusoidal", "relu", True, True):
        raise NotM2M100(
            f"{config} has no counterpart: M2M-100 is pre-norm, sinusoidal, ReLU, tied and scaled"
        )
    theirs = M2M100ForConditionalGeneration(_config(config))
    weights = {_name(name): weight for name, weight in model.state_dict().items()}
    shared = weights["model.shared.weight"]
    weights |= {f"model.{stack}.embed_tokens.weight": shared for stack in ("encoder", "decoder")}
    del weights["target_embedding.tokens.weight"], weights["output.weight"]
    theirs.load_state_dict(weights | {"lm_head.weight": shared})
    positions = SinusoidalPositions(config.model_size)(torch.arange(_MAX_POSITIONS))  # (M, E)
    unused = torch.zeros(PADDING_ID + 1, config.model_size)  # position 0 stands behind the padding's
    for stack in (theirs.model.encoder, theirs.model.decoder):
        stack.embed_positions.weights = torch.cat((unused, positions))
    theirs.train(mode=False)
    return theirs


def _config(config: TransformerConfig) -> M2M100Config:
    return M2M100Config(
        vocab_size=config.vocabulary_size,
        d_model=config.model_size,
        encoder_layers=config.num_encoder_layers,
        decoder_layers=config.num_decoder_layers,
        encoder_attention_heads=config.num_heads,
        decoder_attention_heads=config.num_heads,
        encoder_ffn_dim=config.feed_forward_size,
        decoder_ffn_dim=config.feed_forward_size,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=_MAX_POSITIONS,
        pad_token_id=PADDING_ID,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=START_ID,
    )


def _name(name: str) -> str:
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _give_memory_back() -> None:
    """Caches that grow with each token leave gigabytes of holes behind, which glibc keeps."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


class TransformersPeer:
    """`generate` behind the calls that `Ours` has, in sorted batches.

    Args:
        num_threads: PyTorch's, in one batch.
    """

    def __init__(self, model: Transformer, *, num_threads: int) -> None:
        self._model: Any = transformers_model(model)
        self._num_threads = num_threads

    def translate(
        self, sources: Sequence[Sequence[int]], beam_size: int, max_target_tokens: int
    ) -> list[list[int]]:
        """Best targets of source ids (tag and END_ID included), END_ID left out."""
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        found: list[list[int]] = [[] for _ in sources]
        before = torch.get_num_threads()
        torch.set_num_threads(self._num_threads)
        try:
            for start in range(0, len(order), _BATCH_SENTENCES):
                chosen = order[start : start + _BATCH_SENTENCES]
                rows = self._generate([sources[i] for i in chosen], beam_size, max_target_tokens)
                for i, row in zip(chosen, rows, strict=True):
                    found[i] = row
        finally:
            torch.set_num_threads(before)
            _give_memory_back()
        return found

    def translate_one(self, source: Sequence[int], beam_size: int, max_target_tokens: int) -> list[int]:
        """Translate one source alone."""
        return self.translate([source], beam_size, max_target_tokens)[0]

    @torch.inference_mode()
    def _generate(
        self, sources: Sequence[Sequence[int]], beam_size: int, max_target_tokens: int
    ) -> list[list[int]]:
        source = pad_sequence([torch.tensor(s) for s in sources], batch_first=True, padding_value=PADDING_ID)
        found: Tensor = self._model.generate(
            source,
            attention_mask=source != PADDING_ID,
            num_beams=beam_size,
            do_sample=False,
            early_stopping=beam_size > 1,
            max_new_tokens=max_target_tokens,
        )
        rows: list[list[int]] = found[:, 1:].tolist()
        return [row[: row.index(END_ID)] if END_ID in row else row for row in rows]
