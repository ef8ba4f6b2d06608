"""What attention looks at: how spread its weights are, and whether they meet the words that must meet."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from export.proof.alignment import anchor_accuracy
from model.checkpoint import load_checkpoint
from model.networks.attention import MultiHeadAttention, scaled_dot_product_attention
from model.networks.build import build_model
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.source_attention import SourceAttention
from model.text.sentencepiece_tokenizer import START_ID
from tests.architectures.held_out import Text, texts_by_length
from tests.architectures.runs import final_checkpoint
from tests.architectures.variants import Places

HEAD_SIZES = (4, 8, 16, 32, 64, 128, 256, 512)
_NUM_TEXTS = 40
_MIDDLE_BUCKET = 2
_SEED = 7
_RANDOM_POSITIONS = 32


@dataclass(frozen=True)
class AttentionWeights:
    """Of one variant.

    Args:
        entropy: By kind of attention, the entropy of the weights over that of equal weights, 0 for one
            position alone and 1 for all alike; mean over layers, heads and queries.
        fresh_entropy: The same of a model with its first weights.
        anchor_accuracy: See `export.proof.alignment`; of the best decoder layer.
    """

    entropy: dict[str, float]
    fresh_entropy: dict[str, float]
    anchor_accuracy: float


@dataclass(frozen=True)
class RandomScores:
    """Attention between random normal vectors, a figure for each of HEAD_SIZES.

    Args:
        entropy, unscaled_entropy: As in `AttentionWeights`, with and without √D.
        slope, unscaled_slope: Norm of the softmax's Jacobian, the median over queries: how much of a
            gradient by the weights comes back to the scores.
    """

    entropy: list[float]
    unscaled_entropy: list[float]
    slope: list[float]
    unscaled_slope: list[float]


def measure_attention(places: Places, variant: str) -> AttentionWeights:
    """Look at one trained variant."""
    model, tokenizer = load_checkpoint(final_checkpoint(places, variant))
    torch.manual_seed(_SEED)
    fresh = build_model(model.config).eval()
    first, second = texts_by_length(places.data, tokenizer, _NUM_TEXTS)[_MIDDLE_BUCKET]
    texts = [*first, *second]
    return AttentionWeights(
        entropy=_entropies(model, texts),
        fresh_entropy=_entropies(fresh, texts),
        anchor_accuracy=max(anchor_accuracy(model, [(t.source, t.target) for t in texts])),
    )


def relative_entropy(weights: Tensor) -> Tensor:
    """Of weights (..., S), 0 to 1; (...). A row of one position alone counts as 0."""
    nats = torch.special.entr(weights).sum(dim=-1)
    positions = (weights > 0).sum(dim=-1)
    relative: Tensor = nats / positions.clamp(min=2).log()
    return relative


@torch.inference_mode()
def _entropies(model: EncoderDecoder, texts: list[Text]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    with _watched(model, found):
        for text in texts:
            model(torch.tensor([text.source]), torch.tensor([[START_ID, *text.target[:-1]]]))
    return {kind: sum(values) / len(values) for kind, values in found.items()}


@contextmanager
def _watched(model: EncoderDecoder, found: dict[str, list[float]]) -> Iterator[None]:
    def keep(kind: str, _module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        found.setdefault(kind, []).append(float(relative_entropy(output[1]).mean()))

    handles = [
        module.register_forward_hook(functools.partial(keep, _kind(name)))
        for name, module in model.named_modules()
        if isinstance(module, MultiHeadAttention | SourceAttention)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(name: str) -> str:
    if name.startswith("encoder_layers"):
        return "encoder"
    return "target" if name.endswith("self_attention") else "source"


def measure_random_scores() -> RandomScores:
    """What the division by √D does, without any training."""
    torch.manual_seed(_SEED)
    found = RandomScores([], [], [], [])
    for size in HEAD_SIZES:
        query, key, value = (torch.randn(64, 4, _RANDOM_POSITIONS, size) for _ in range(3))  # (B, H, S, D)
        for is_scaled, entropy, slope in (
            (True, found.entropy, found.slope),
            (False, found.unscaled_entropy, found.unscaled_slope),
        ):
            _, weights = scaled_dot_product_attention(query, key, value, is_scaled=is_scaled)
            entropy.append(float(relative_entropy(weights).mean()))
            slope.append(float(softmax_slope(weights).median()))
    return found


def softmax_slope(weights: Tensor) -> Tensor:
    """Frobenius norm of diag(p) - p pᵀ for weights p (..., S); (...)."""
    squares, cubes = (weights**2).sum(dim=-1), (weights**3).sum(dim=-1)
    return (squares - 2 * cubes + squares**2).clamp(min=0).sqrt()
