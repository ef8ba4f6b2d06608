"""A sentence that is longer than a model takes, in parts: at clause marks, where there are none at words."""

from __future__ import annotations

import re
from collections.abc import Callable

# What ends a clause, with the white space behind it; scripts without spaces have marks of their own.
_CLAUSE_END = re.compile(r"(?<=[,;:–—)\]…])\s+|(?<=[，、；：。！？）」』،؛؟។၊])\s*")
_WORD_END = re.compile(r"\s+")


def parts(text: str, start: int, end: int, fits: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """Ranges that each fit, or are single words; together they are the whole range.

    A range is halved at the clause mark that is nearest to its middle until all fit: parts of like length
    keep more of the sentence together than full ones and a short rest.

    >>> parts("He came, he saw, he won.", 0, 24, lambda start, end: end - start <= 16)
    [(0, 9), (9, 24)]
    """
    results, pending = [], [(start, end)]
    while pending:
        first, last = pending.pop()
        cut = None if fits(first, last) else _cut(text, first, last)
        if cut is None:
            results.append((first, last))
        else:
            pending += [(cut, last), (first, cut)]
    return results


def _cut(text: str, start: int, end: int) -> int | None:
    middle = (start + end) / 2
    for pattern in (_CLAUSE_END, _WORD_END):
        ends = [mark.end() for mark in pattern.finditer(text, start, end) if start < mark.end() < end]
        if ends:
            return min(ends, key=lambda place: abs(place - middle))
    return None
