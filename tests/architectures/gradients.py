"""How the gradient of an encoder's last position fades with the distance to the token that it is taken by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.networks.build import build_model
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from tests.architectures.held_out import texts_by_length
from tests.architectures.runs import final_checkpoint
from tests.architectures.variants import Places

VARIANTS = ("rnn", "lstm", "gru", "transformer")
LENGTH = 60
NUM_SENTENCES = 64
_SEED = 5


@dataclass(frozen=True)
class Gradients:
    """Norms of the gradient at distance 0, 1, ..., LENGTH - 1, means over sentences.

    The gradient is that of one random direction of the last position's output, by the embedded token.

    Args:
        fresh: Of a model with its first weights.
        trained: Of the trained one.
    """

    fresh: list[float]
    trained: list[float]


def measure_gradients(places: Places, variant: str) -> Gradients:
    """Measure one variant's encoder."""
    trained, tokenizer = load_checkpoint(final_checkpoint(places, variant))
    torch.manual_seed(_SEED)
    fresh = build_model(trained.config).eval()
    longest = [*texts_by_length(places.data, tokenizer, NUM_SENTENCES)[-1][0]]
    source = torch.tensor([text.source[:LENGTH] for text in longest])
    return Gradients(fresh=_norms(fresh, source), trained=_norms(trained, source))


def _norms(model: EncoderDecoder, source: Tensor) -> list[float]:
    embedded: list[Tensor] = []
    model = model.double()  # a plain unit's gradient passes below what fp32 can hold
    with _embedding(model).register_forward_hook(lambda *call: _keep(call[-1], embedded)):
        last = _last_position(model, source)  # (B, E)
    direction = torch.nn.functional.normalize(torch.randn_like(last), dim=-1)
    (last * direction).sum().backward()
    gradient = embedded[0].grad
    assert gradient is not None
    by_distance: list[float] = gradient.norm(dim=-1).mean(dim=0).flip(0).tolist()
    return by_distance


def _keep(output: Tensor, kept: list[Tensor]) -> None:
    output.retain_grad()
    kept.append(output)


def _embedding(model: EncoderDecoder) -> torch.nn.Module:
    if isinstance(model, Recurrent):
        return model.encoder.embedding
    assert isinstance(model, Transformer)
    return model.source_embedding


def _last_position(model: EncoderDecoder, source: Tensor) -> Tensor:
    memory = model.encode(source)
    positions: Tensor = memory.positions if isinstance(model, Recurrent) else memory
    return positions[:, -1]
