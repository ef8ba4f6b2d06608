"""What must not change, put back where a translation has something very like it in its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from server.documents.protected import LOST_CHARACTER, literals

_MARKS = ".,:;!?…()[]\"'«»“”‘’„"
# Arrows, dingbats, emoji and what joins them.
_SYMBOLS = re.compile(
    "[\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u2bff\U0001f000-\U0001faff"
    f"\u200d\ufe0f\U000e0020-\U000e007f{LOST_CHARACTER}]+"
)
_LEAST_ALIKE = 0.5  # of 1: less, and it is something else
# To compare takes time that grows with the cube of the length, and a client may choose both texts.
_MOST_COMPARED_CHARACTERS, _MOST_COMPARED_PAIRS = 64, 64


def repaired(source: str, target: str) -> str:
    """A translation with addresses, placeholders, tags and emoji as its source has them.

    A literal that the source has not, and a word with a character that was lost on the way, gives way to what
    is most like it of what the source has and the translation has not; where nothing is, it stays. Emoji are
    taken from the source where there are as many of them.

    >>> repaired("Write to lavoro@a.example.", "Scrivi a work@a.example.")
    'Scrivi a lavoro@a.example.'
    >>> repaired("Novak Đoković won.", "Novak \ufffd\ufffdoković ha vinto.")
    'Novak Đoković ha vinto.'
    >>> repaired("I am tired 😴😴", "Sono stanca 😢😢")
    'Sono stanca 😴😴'
    """
    source_literals, target_literals = literals(source), literals(target)
    if source_literals != target_literals:
        wrong = [literal for literal in target_literals if literal not in source_literals]
        target = _replaced(target, wrong, source_literals - target_literals)
    if not (source.isascii() and target.isascii()):
        symbols = _SYMBOLS.findall(source)
        if symbols != (written := _SYMBOLS.findall(target)) and len(symbols) == len(written):
            rest = iter(symbols)
            target = _SYMBOLS.sub(lambda _: next(rest), target)
    if LOST_CHARACTER in target:
        source_words, target_words = _words(source), _words(target)
        broken = [word for word in target_words if LOST_CHARACTER in word and word not in source_words]
        target = _replaced(target, broken, source_words - target_words)
    return target


def _words(text: str) -> Counter[str]:
    return Counter(word.strip(_MARKS) for word in text.split())


def _replaced(text: str, wrong: Sequence[str], missing: Counter[str]) -> str:
    """A text with some pieces replaced by the most similar of others, each used as often as it counts."""
    if len(wrong) * len(missing) > _MOST_COMPARED_PAIRS:
        return text
    for piece in wrong:
        alike = max(missing, key=lambda other: _likeness(piece, other), default="")
        if _likeness(piece, alike) >= _LEAST_ALIKE:
            text = text.replace(piece, alike, 1)
            missing -= Counter([alike])
    return text


def _likeness(piece: str, other: str) -> float:
    if max(len(piece), len(other)) > _MOST_COMPARED_CHARACTERS:
        return 0.0
    return SequenceMatcher(None, piece, other, autojunk=False).ratio()
