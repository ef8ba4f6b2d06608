"""How well attention over the source aligns with what a translation must be aligned to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from model.networks.encoder_decoder import EncoderDecoder


def anchors(source: Sequence[int | None], target: Sequence[int], end_id: int) -> list[tuple[int, int]]:
    """Positions (source, target) of tokens that stand exactly once in each: names, numbers, punctuation.

    The end of the sentence is none: it says nothing about words.

    >>> anchors([4, 70, 71, 3], [71, 80, 3], end_id=3)
    [(2, 0)]
    """
    in_source, in_target = Counter(source), Counter(target)
    return [
        (source.index(token), t)
        for t, token in enumerate(target)
        if token != end_id and in_source[token] == in_target[token] == 1
    ]


@torch.inference_mode()
def anchor_accuracy(
    model: EncoderDecoder,
    sentences: Sequence[tuple[Sequence[int], Sequence[int]]],
    as_target: Callable[[int], int | None] = int,
) -> tuple[float, ...]:
    """For each decoder layer the share of anchors at which the mean of its heads looks most.

    Args:
        sentences: Sources and their reference translations as ids, see `Tokenizer`.
        as_target: The id that a source's token has in targets, None for none.

    Returns:
        Shares from 0 to 1; 0 if there is no anchor, none for a model without attention.
    """
    hits: Counter[int] = Counter()
    num_anchors, num_layers = 0, 0
    for source, target in sentences:
        fed = torch.tensor([(model.special_ids.start, *target[:-1])])
        attention = model.decode_states(fed, model.encode(torch.tensor([source]))).attention
        num_layers = len(attention)
        sentence_anchors = anchors([as_target(token) for token in source], target, model.special_ids.end)
        num_anchors += len(sentence_anchors)
        for layer, weights in enumerate(attention):
            best = weights[0].mean(dim=0).argmax(dim=-1)  # (T)
            hits[layer] += sum(int(best[t]) == s for s, t in sentence_anchors)
    return tuple(hits[layer] / max(num_anchors, 1) for layer in range(num_layers))
