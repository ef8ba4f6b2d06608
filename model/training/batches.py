"""Training examples from sentence pairs, and batches whose sources have one length."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.text.special_ids import SpecialIds
from model.text.tokenizer import Tokenizer

IGNORED = -100  # in place of a target that is none, as PyTorch's losses have it


@dataclass(frozen=True)
class Example:
    """One direction of a pair as ids: both with the end id, the source with its language mark."""

    source: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Examples with sources of one length, so that the source needs no padding.

    source (B, S); target_input (B, T) opens with the start id; target_output (B, T) is one ahead and
    holds IGNORED after the end: the id of padding may be that of the end, as in Marian's models.
    """

    source: Tensor
    target_input: Tensor
    target_output: Tensor


def concatenated(pairs: Sequence[tuple[str, str]], count: int, most: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of 2 to `most` sentences, joined at random from given pairs.

    A model that saw only short sentences has never seen the later positions.

    Source: Kondo et al. 2021, arXiv:2104.08478.
    """
    chance = random.Random(seed)
    joined = []
    for _ in range(count):
        parts = chance.choices(pairs, k=chance.randint(2, most))
        joined.append((" ".join(a for a, _ in parts), " ".join(b for _, b in parts)))
    return joined


def both_directions(
    pairs: Sequence[tuple[str, str]], languages: tuple[str, str], tokenizer: Tokenizer
) -> list[Example]:
    """Each pair as an example of each direction that the tokenizer has marks for, two or one."""
    examples = []
    directions = directions_of(languages, tokenizer)
    for pair in pairs:
        for source, target in directions:
            text, reference = pair[languages.index(source)], pair[languages.index(target)]
            ids = tokenizer.encode_source(text, target, source_language=source)
            expected = tokenizer.encode_target(reference, target_language=target)
            examples.append(Example(tuple(ids), tuple(expected)))
    return examples


def directions_of(languages: tuple[str, str], tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Source and target of the directions between two languages that a tokenizer has marks for."""
    first, second = languages
    return [pair for pair in ((first, second), (second, first)) if pair in tokenizer.directions]


def pad(rows: Sequence[Sequence[int]], padding_id: int) -> Tensor:
    """Rows of ids (B, longest), the padding id after each end.

    >>> pad([(7, 8), (9,)], padding_id=0).tolist()
    [[7, 8], [9, 0]]
    """
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[padding_id] * (longest - len(row))] for row in rows])


def make_batch(examples: Sequence[Example], special_ids: SpecialIds) -> Batch:
    """Stack examples whose sources have one length."""
    fed = [(special_ids.start, *example.target[:-1]) for example in examples]
    return Batch(
        source=torch.tensor([example.source for example in examples]),
        target_input=pad(fed, special_ids.padding),
        target_output=pad([example.target for example in examples], IGNORED),
    )


def epoch_batches(examples: Sequence[Example], batch_tokens: int, seed: int) -> list[list[int]]:
    """Indices of every example once, in batches of one source length and like target lengths.

    A batch holds at most batch_tokens source or padded target tokens (one example may hold more).
    The order depends on the seed alone, so that a resumed run can go on in the middle of an epoch.
    """
    shuffled = random.Random(seed)
    lengths = lengths_of(examples)
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, (source_length, _) in enumerate(lengths):
        by_length[source_length].append(index)
    batches: list[list[int]] = []
    for source_length, indices in sorted(by_length.items()):
        shuffled.shuffle(indices)
        indices.sort(key=lambda i: lengths[i][1])
        batches += _cut(indices, lengths, source_length, batch_tokens)
    shuffled.shuffle(batches)
    return batches


def lengths_of(examples: Sequence[Example]) -> list[tuple[int, int]]:
    """Source and target tokens of each example; those on disk have them at hand."""
    known = getattr(examples, "lengths", None)
    if known is not None:
        return [(source, target) for source, target in known.tolist()]
    return [(len(example.source), len(example.target)) for example in examples]


def _cut(
    indices: Sequence[int], lengths: Sequence[tuple[int, int]], source_length: int, batch_tokens: int
) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in indices:
        longest = max(source_length, lengths[index][1])  # targets come sorted
        if batch and (len(batch) + 1) * longest > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
