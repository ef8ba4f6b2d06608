"""How much words of a translation look at words of its source, from the attention over their pieces."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from server.documents.markup.words import word_ranges
from server.translation.results import Attention

_SPACE = "▁"
_CHUNK = re.compile(r"\S+")


def word_weights(
    attention: Attention, source: str, target: str, special_pieces: Collection[str]
) -> list[list[float]]:
    """The attention of words to words, the sum over their pieces.

    Args:
        source, target: The texts whose pieces `attention` is over.
        special_pieces: Those that stand for nothing in either: marks of languages, the end.

    Returns:
        (T, S), of words as `word_ranges` counts them.
    """
    target_shares = _shares(attention.target_tokens, target, special_pieces)  # (pieces, T)
    source_shares = _shares(attention.source_tokens, source, special_pieces)  # (pieces, S)
    weights: list[list[float]] = (target_shares.T @ attention.weights @ source_shares).tolist()  # (T, S)
    return weights


def _shares(pieces: Sequence[str], text: str, special_pieces: Collection[str]) -> NDArray[np.float64]:
    """How much of each piece belongs to each word: (pieces, words)."""
    words = word_ranges(text)
    shares = np.zeros((len(pieces), len(words)))
    read = [i for i, piece in enumerate(pieces) if piece not in special_pieces]
    first = 0  # word that a piece may reach into: both are in order
    for i, (start, end) in zip(read, _piece_ranges([pieces[i] for i in read], text), strict=True):
        while first < len(words) and words[first][1] <= start:
            first += 1
        for number in range(first, len(words)):
            overlap = min(end, words[number][1]) - max(start, words[number][0])
            if overlap <= 0:
                break
            shares[i, number] = overlap / (end - start)
    return shares


def _piece_ranges(pieces: Sequence[str], text: str) -> Iterator[tuple[float, float]]:
    """Where each piece is in a text.

    What stands between spaces is matched with what the vocabulary says stands between them; within it, and
    where there is more of one than of the other, lengths decide: a vocabulary may write another form of a
    character.
    """
    groups: list[list[str]] = []
    for piece in pieces:
        if piece.startswith(_SPACE) or not groups:
            groups.append([])
        groups[-1].append(piece)
    chunks = [found.span() for found in _CHUNK.finditer(text)]
    if len(chunks) != len(groups):
        chunks, groups = [(0, len(text))], [list(pieces)]
    for (start, end), group in zip(chunks, groups, strict=True):
        lengths = [max(len(piece.replace(_SPACE, "")), 0.01) for piece in group]
        scale, place = (end - start) / sum(lengths) if lengths else 0.0, float(start)
        for length in lengths:
            yield place, place + scale * length
            place += scale * length
