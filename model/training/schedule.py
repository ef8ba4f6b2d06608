"""The learning rate of a step, and the precision of its products."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from model.training.config import TrainingConfig


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then peak · √(warmup / step), and a linear fall to zero at the end.

    Args:
        step: From 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 3, scaled to a given peak.
    """
    rate: float = config.learning_rate * min(step / config.warmup_steps, (config.warmup_steps / step) ** 0.5)
    if config.cooldown_steps:
        rate *= min(1.0, (config.max_steps - step + 1) / config.cooldown_steps)
    return rate


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 for matrix products if asked for and the processor or GPU multiplies in it, else fp32."""
    if precision != "bf16":
        return torch.autocast(device.type, enabled=False)
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
    else:
        has_bf16 = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - there is no public question
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16)
