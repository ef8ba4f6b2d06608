"""Words of a text, and which source word each target word is the translation of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.documents.markup.tokens import Range

Weights = Sequence[Sequence[float]]  # (T, S), of words

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_MARKS = r"\s!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e\u3000-\u303f\uff00-\uff0f\uff1a-\uff1f"
# A placeholder is a word, and so is each character of a script without spaces, and each mark.
_WORD = re.compile(rf"\{{\d+\}}|[{_UNSPACED}]|[^{_MARKS}{_UNSPACED}]+|\S")
_MARK = re.compile(rf"[{_MARKS}]")


def word_ranges(text: str) -> list[Range]:
    """Where words and marks are.

    >>> text = "l'albergo {0}."
    >>> [text[start:end] for start, end in word_ranges(text)]
    ['l', "'", 'albergo', '{0}', '.']
    """
    return [match.span() for match in _WORD.finditer(text)]


def is_mark(word: str) -> bool:
    """Whether a word is a mark."""
    return _MARK.fullmatch(word) is not None


def alignment(sources: Sequence[str], targets: Sequence[str], weights: Weights | None) -> list[int | None]:
    """The source word of each target word; None for what looks at no word.

    A word that is in both is its own translation, if it is there once; of marks that are there equally often
    the first belongs to the first.

    Args:
        weights: How much each target word looks at each source word; None where no model tells: then words
            stand as far along in one text as in the other.

    >>> alignment(["Red", "car", "!"], ["auto", "rossa", "!"], [[0.1, 0.9, 0], [0.8, 0.2, 0], [0, 0, 1]])
    [1, 0, 2]
    """
    if sources == targets:
        return list(range(len(targets)))
    places = [i for i, word in enumerate(sources) if not is_mark(word)]
    result: list[int | None] = []
    for t, word in enumerate(targets):
        if is_mark(word) or not places:
            is_kept = sources.count(word) == targets.count(word)
            result.append(_nth(sources, word, targets[:t].count(word)) if is_kept else None)
        elif sources.count(word) == targets.count(word) == 1:
            result.append(sources.index(word))
        elif weights is None:
            result.append(places[min(t * len(sources) // len(targets), len(places) - 1)])
        else:
            row = weights[t]
            best = max(places, key=row.__getitem__)
            result.append(best if row[best] > 0 else None)
    return result


def _nth(words: Sequence[str], word: str, number: int) -> int:
    return [i for i, other in enumerate(words) if other == word][number]
