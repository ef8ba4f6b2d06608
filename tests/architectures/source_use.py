"""How much of the source a variant uses: what it loses when it is given the source of another text."""

from __future__ import annotations

from dataclasses import dataclass

from model.checkpoint import load_checkpoint
from tests.architectures.held_out import Direction, Text, texts_by_length
from tests.architectures.lengths import SCORED_TEXTS, loss_of
from tests.architectures.runs import final_checkpoint
from tests.architectures.variants import Places


@dataclass(frozen=True)
class SourceUse:
    """For each bucket of source lengths, both directions together.

    Args:
        saved_nats: Nats a whole target that its own source saves against the source of another text of
            that bucket and direction.
    """

    saved_nats: list[float]


def measure_source_use(places: Places, variant: str) -> SourceUse:
    """Measure one trained variant."""
    model, tokenizer = load_checkpoint(final_checkpoint(places, variant))
    saved = []
    for first, second in texts_by_length(places.data, tokenizer, SCORED_TEXTS):
        own = loss_of([*first, *second], model)[0]
        foreign = loss_of([*_with_foreign_sources(first), *_with_foreign_sources(second)], model)[0]
        saved.append((foreign - own) / (len(first) + len(second)))
    return SourceUse(saved)


def _with_foreign_sources(texts: Direction) -> Direction:
    others = [*texts[1:], texts[0]]
    return [
        Text(other.source, text.target, other.text, text.reference)
        for text, other in zip(texts, others, strict=True)
    ]
