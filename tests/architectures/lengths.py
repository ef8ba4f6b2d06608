"""How well a variant translates texts of each length: what one context vector holds, what attention adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.checkpoint import load_checkpoint
from model.evaluation.quality import evaluate
from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import greedy_search_batch
from model.text.sentencepiece_tokenizer import PADDING_ID, START_ID
from model.text.tokenizer import Tokenizer
from model.training.batches import pad
from tests.architectures.held_out import Direction, Text, texts_by_length
from tests.architectures.runs import final_checkpoint
from tests.architectures.variants import BY_LENGTH, Places

SCORED_TEXTS = 100  # of each bucket and direction, for the loss
TRANSLATED_TEXTS = 50  # likewise, for BLEU
_SHORT_BUCKETS = 2


@dataclass(frozen=True)
class Lengths:
    """A variant's quality in each bucket of source lengths, both directions together.

    Args:
        losses: Nats a target token with the reference fed, not smoothed.
        bleu: Of greedy translations; of the first buckets only for a variant that is not in BY_LENGTH.
        loss: Over all buckets.
        num_parameters: Of the variant.
    """

    losses: list[float]
    bleu: list[float]
    loss: float
    num_parameters: int


def measure_lengths(places: Places, variant: str) -> Lengths:
    """Score one trained variant."""
    model, tokenizer = load_checkpoint(final_checkpoint(places, variant))
    buckets = texts_by_length(places.data, tokenizer, SCORED_TEXTS)
    sums = [loss_of([*first, *second], model) for first, second in buckets]
    translated = buckets if variant in BY_LENGTH else buckets[:_SHORT_BUCKETS]
    bleu = [
        sum(_bleu(texts[:TRANSLATED_TEXTS], model, tokenizer) for texts in bucket) / 2
        for bucket in translated
    ]
    return Lengths(
        losses=[nats / tokens for nats, tokens in sums],
        bleu=bleu,
        loss=sum(nats for nats, _ in sums) / sum(tokens for _, tokens in sums),
        num_parameters=sum(weight.numel() for weight in model.parameters()),
    )


def padded_sources(texts: Sequence[Text]) -> tuple[Tensor, Tensor]:
    """Sources (B, S) and where they are padding."""
    source = pad([text.source for text in texts], PADDING_ID)
    return source, source == PADDING_ID


@torch.inference_mode()
def loss_of(texts: Direction, model: EncoderDecoder) -> tuple[float, int]:
    """Nats of all targets, each token with the reference before it fed, and their tokens."""
    nats, tokens = 0.0, 0
    for start in range(0, len(texts), TRANSLATED_TEXTS):
        chosen = texts[start : start + TRANSLATED_TEXTS]
        source, is_padding = padded_sources(chosen)
        fed = pad([[START_ID, *text.target[:-1]] for text in chosen], PADDING_ID)
        expected = pad([text.target for text in chosen], PADDING_ID)
        logits = model(source, fed, is_padding)  # (B, T, V)
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), expected.flatten(), ignore_index=PADDING_ID, reduction="sum"
        )
        nats, tokens = nats + float(loss), tokens + int((expected != PADDING_ID).sum())
    return nats, tokens


def _bleu(texts: Direction, model: EncoderDecoder, tokenizer: Tokenizer) -> float:
    source, is_padding = padded_sources(texts)
    limit = source.shape[1] * 3 // 2 + 5
    rows = greedy_search_batch(model, source, is_padding, limit)
    return evaluate([tokenizer.detokenize(row) for row in rows], [text.reference for text in texts]).bleu
