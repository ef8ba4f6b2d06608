"""Sentences that no run has seen, joined to texts of every length."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.text.parallel_text import read_pairs
from model.text.tokenizer import Tokenizer

TEST_FILE = "tatoeba.test.tsv.gz"
# Source tokens, tag and end included; both ends belong to it.
BUCKETS = ((1, 10), (11, 20), (21, 30), (31, 40), (41, 50), (51, 60), (61, 70))
_MOST_SENTENCES = 6
_SEED = 11


@dataclass(frozen=True)
class Text:
    """One direction of a pair: ids of both sides, and both as text."""

    source: list[int]
    target: list[int]
    text: str
    reference: str


Direction = list[Text]


def _texts(data: Path, tokenizer: Tokenizer, direction: int) -> Iterator[Text]:
    pairs = read_pairs(data / TEST_FILE)
    language = tokenizer.languages[1 - direction]
    chance = random.Random(_SEED + direction)
    while True:
        parts = chance.choices(pairs, k=chance.randint(1, _MOST_SENTENCES))
        text, reference = (" ".join(pair[side] for pair in parts) for side in (direction, 1 - direction))
        yield Text(
            tokenizer.encode_source(text, language), tokenizer.encode_target(reference), text, reference
        )


def texts_by_length(data: Path, tokenizer: Tokenizer, count: int) -> list[tuple[Direction, Direction]]:
    """For each bucket of source lengths so many texts of each direction."""
    found: list[tuple[Direction, Direction]] = [([], []) for _ in BUCKETS]
    for direction in (0, 1):
        for text in _texts(data, tokenizer, direction):
            for bucket, (first, last) in zip(found, BUCKETS, strict=True):
                if first <= len(text.source) <= last and len(bucket[direction]) < count:
                    bucket[direction].append(text)
            if all(len(bucket[direction]) == count for bucket in found):
                break
    return found
