"""What a training step costs against length: processor time, and what it keeps for the backward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from model.networks.build import build_model
from model.networks.encoder_decoder import EncoderDecoder
from model.training.config import load_run_config
from tests.architectures.variants import CONFIGS

VARIANTS = ("rnn", "gru", "lstm", "lstm-general", "gru-bahdanau", "transformer")
LENGTHS = (8, 16, 32, 64, 128, 256)
BATCH_TOKENS = 1024
ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """By variant, a figure for each of LENGTHS.

    Args:
        tokens_per_second: Target tokens a second of processor time, forward and backward, in batches of
            BATCH_TOKENS; the median over rounds.
        alone: The same in batches of one sentence.
        saved_bytes: Of the tensors kept for the backward pass, a target token, weights not counted.
    """

    tokens_per_second: dict[str, list[float]]
    alone: dict[str, list[float]]
    saved_bytes: dict[str, list[float]]


def measure_speed() -> Speed:
    """Measure fresh models; in each round every variant has its turn at every length."""
    models = {
        variant: build_model(load_run_config(CONFIGS / f"{variant}.yaml").model).train()
        for variant in VARIANTS
    }
    # A plain unit's gradient vanishes into numbers that the processor is slow at; that is not meant here.
    torch.set_flush_denormal(True)
    try:
        together = _rates(models, lambda length: BATCH_TOKENS // length)
        alone = _rates(models, lambda length: 1)
    finally:
        torch.set_flush_denormal(False)
    saved = {v: [_saved_bytes(models[v], n) / BATCH_TOKENS for n in LENGTHS] for v in VARIANTS}
    return Speed(tokens_per_second=together, alone=alone, saved_bytes=saved)


def _rates(models: dict[str, EncoderDecoder], num_rows: Callable[[int], int]) -> dict[str, list[float]]:
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS + 1):  # the first one warms up
        for length in LENGTHS:
            for variant, model in models.items():
                rates.setdefault((variant, length), []).append(_rate(model, num_rows(length), length))
    return {v: [statistics.median(rates[v, n][1:]) for n in LENGTHS] for v in models}


def _ids(model: EncoderDecoder, rows: int, length: int) -> Tensor:
    return torch.randint(4, model.config.vocabulary_size, (rows, length))


def _rate(model: EncoderDecoder, rows: int, length: int) -> float:
    source, target = _ids(model, rows, length), _ids(model, rows, length)
    started = time.process_time()
    _loss(model, source, target).backward()
    seconds = time.process_time() - started
    model.zero_grad()
    return rows * length / seconds


def _loss(model: EncoderDecoder, source: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(source, target).flatten(0, 1), target.flatten())


def _saved_bytes(model: EncoderDecoder, length: int) -> int:
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, Tensor] = {}  # holds them, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def give(tensor: Any) -> Any:
        return tensor

    with saved_tensors_hooks(keep, give):
        _loss(model, *(_ids(model, BATCH_TOKENS // length, length) for _ in range(2)))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
