"""Sentences by their length in words: a model of short text may know nothing of long text."""

from __future__ import annotations

from collections.abc import Sequence

LENGTHS = ((1, 10), (11, 20), (21, 40), (41, None))


def by_length(sources: Sequence[str]) -> dict[str, list[int]]:
    """Where the sources of each length stand, by the name of the length in words; only lengths that occur.

    Words are what white space separates; a text without any counts as one.

    Example:
        >>> by_length(["Good morning!", "word " * 50, ""])
        {'1-10': [0, 2], '41+': [1]}
    """
    places: dict[str, list[int]] = {}
    for first, last in LENGTHS:
        name = f"{first}-{last}" if last else f"{first}+"
        places[name] = [
            i for i, text in enumerate(sources) if first <= _words(text) <= (last or _words(text))
        ]
    return {name: indices for name, indices in places.items() if indices}


def _words(text: str) -> int:
    return max(1, len(text.split()))
