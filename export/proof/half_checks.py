"""Whether a model's numbers fit into fp16, whose largest is 65,504."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from export.proof.checks import Check
from export.proof.sentences import Sentence, spread_by_length, target_of
from model.networks.build import half_model
from model.networks.encoder_decoder import EncoderDecoder
from model.text.tokenizer import Tokenizer

HALF_MAX = 65_504.0
# Other texts may go beyond what the proof's sentences do.
_MARGIN = 4
_NUM_SENTENCES = 60


@torch.inference_mode()
def half_checks(model: EncoderDecoder, tokenizer: Tokenizer, sentences: Sequence[Sentence]) -> list[Check]:
    """What overflow would come of: the largest value that any module gives, and PyTorch's own fp16 model.

    Graphs in fp16 are proven on a CPU, which computes part of them in fp32 and so does not show it. The model
    reads references by teacher forcing.
    """
    chosen = spread_by_length(sentences, min(_NUM_SENTENCES, len(sentences)))
    half, num_lost = half_model(model), 0
    with _watched(model) as largest:
        for sentence in chosen:
            source = torch.tensor([sentence.source])
            fed = [tokenizer.special_ids.start, *target_of(sentence, tokenizer)[:-1]]
            target = torch.tensor([fed])
            expected = model(source, target)  # (1, T, V)
            lost = ~half(source, target).isfinite() & expected.isfinite()
            num_lost += int(lost.sum())
    return [
        Check(
            name="half_range",
            what=f"largest absolute value that a module gives in fp32; fp16 holds {_MARGIN} times the limit",
            measured=largest.value,
            limit=HALF_MAX / _MARGIN,
        ),
        Check(
            name="half_overflow",
            what="logits of PyTorch's fp16 model that are no numbers, and are in fp32",
            measured=num_lost,
            limit=0,
        ),
    ]


class _Largest:
    """A hook that keeps the largest value that any module reads or gives; what a bias rules out is none."""

    value = 0.0

    def __call__(self, _: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        values = (*inputs, *(output if isinstance(output, tuple) else (output,)))
        numbers = [v for v in values if isinstance(v, Tensor) and v.is_floating_point() and v.numel()]
        self.value = max([self.value, *(float(v.abs().nan_to_num(posinf=0.0).max()) for v in numbers)])


@contextmanager
def _watched(model: nn.Module) -> Iterator[_Largest]:
    """Record what a model's modules read and give."""
    largest = _Largest()
    handles = [module.register_forward_hook(largest) for module in model.modules()]
    try:
        yield largest
    finally:
        for handle in handles:
            handle.remove()
