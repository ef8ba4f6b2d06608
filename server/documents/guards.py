"""Signs that a translation is none: loops, a length out of proportion, the source again, another script."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from server.documents.scripts import is_in_wrong_script
from server.documents.warnings import WarningReason

_MOST_WORDS = 6  # of what is repeated
_LOOP_REPEATS = 3
_LETTER_LOOP = re.compile(r"(.{1,8}?)\1{4,}")  # "nanananana", and scripts without spaces
# A target may have as many tokens as this, and no fewer than that, beside its source.
_LONGEST_RATIO, _LONGEST_EXTRA = 3, 16
_SHORTEST_RATIO, _SHORTEST_EXTRA = 0.25, 10
_LEAST_COPIED_WORDS, _LEAST_COPIED_LETTERS = 4, 12
_LEAST_COPIED_SHARE = 0.8
_WORD = re.compile(r"[^\W\d_]+")


def suspicions(
    source: str, target: str, num_source_tokens: int, num_target_tokens: int, pair: tuple[str, str]
) -> Iterator[WarningReason]:
    """What is wrong with a translation, as far as that shows without knowing the languages.

    Args:
        pair: Source and target language, as BCP-47 tags: their scripts are known.
    """
    if (repeats := loops(target)) >= _LOOP_REPEATS and repeats > loops(source):
        yield WarningReason.REPETITION
    if num_target_tokens > _LONGEST_RATIO * num_source_tokens + _LONGEST_EXTRA:
        yield WarningReason.TOO_LONG
    if num_target_tokens + _SHORTEST_EXTRA < _SHORTEST_RATIO * num_source_tokens:
        yield WarningReason.TOO_SHORT
    if _is_copied(source, target):
        yield WarningReason.SOURCE_COPIED
    if is_in_wrong_script(source, target, pair):
        yield WarningReason.WRONG_SCRIPT


def loops(text: str) -> int:
    """How often the same words, or letters of a word, stand there one after the other.

    >>> [loops(text) for text in ("Yes", "on the on the on the table", "nanananana")]
    [1, 3, 5]
    """
    folded = text.casefold()
    words = folded.split()
    # Words that are all different are no loop, and to see that takes a tenth of the time.
    most = 1 if len(set(words)) == len(words) else _most_repeats(_WORD.findall(folded))
    for word in words:
        if len(word) >= 2 * len(set(word)) and (loop := _LETTER_LOOP.search(word)):
            most = max(most, len(loop[0]) // len(loop[1]))
    return most


def _most_repeats(words: list[str]) -> int:
    """Repeats of the 1 to 6 words that are repeated most often without anything between."""
    most = 1
    for length in range(1, min(_MOST_WORDS, len(words) // 2) + 1):
        num_equal = 0  # words that equal the one so many places before
        for i in range(length, len(words)):
            num_equal = num_equal + 1 if words[i] == words[i - length] else 0
            most = max(most, num_equal // length + 1)
    return most


def _is_copied(source: str, target: str) -> bool:
    """Whether nearly all words are the source's, and so many that they are hardly all names."""
    chunks, source_chunks = (set(text.casefold().split()) for text in (target, source))
    if 2 * len(chunks & source_chunks) < len(chunks):  # spares most sentences what follows
        return False
    words = _WORD.findall(target.casefold())
    if len(words) < _LEAST_COPIED_WORDS or sum(map(len, words)) < _LEAST_COPIED_LETTERS:
        return False
    sources = _WORD.findall(source.casefold())
    num_same = (Counter(words) & Counter(sources)).total()
    return num_same >= _LEAST_COPIED_SHARE * max(len(words), len(sources))
