"""Terms that a translation may not have: which tokens would complete one, whatever pieces spell it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.text.tokenizer import Tokenizer
from server.documents.document import is_unspaced

_SPACE = "▁"
_LAST_CHARACTER = "\U0010ffff"


class TargetPieces:
    """The pieces of a vocabulary as texts, "▁" for a space, to be searched; made once for a model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.special_ids
        unwritten = {special.padding, special.unknown, special.start, special.end}
        self.texts = ["" if i in unwritten else tokenizer.piece(i) for i in range(tokenizer.size)]
        self._order = sorted(range(len(self.texts)), key=self.texts.__getitem__)
        self._sorted = [self.texts[i] for i in self._order]
        self._joined = "\n".join(self.texts)  # no piece has a line break
        self._starts = np.cumsum([0, *(len(text) + 1 for text in self.texts[:-1])]).tolist()

    def beginning_with(self, text: str) -> list[int]:
        """The ids of pieces that begin with a text."""
        first, last = bisect_left(self._sorted, text), bisect_left(self._sorted, text + _LAST_CHARACTER)
        return self._order[first:last]

    def holding(self, text: str) -> Iterable[tuple[int, int]]:
        """The ids of pieces that hold a text behind their first character, and where."""
        place = self._joined.find(text)
        while place >= 0:
            token = bisect_right(self._starts, place) - 1
            if place > self._starts[token]:
                yield token, place - self._starts[token]
            place = self._joined.find(text, place + 1)

    def written(self, text: str, tokenizer: Tokenizer, language: str) -> str:
        """A text as its pieces spell it, without the space before it."""
        ids = tokenizer.encode_target(text, target_language=language)
        first = tokenizer.first_target_token(language)
        return "".join(self.texts[i] for i in ids if i != first).lstrip(_SPACE)


class ForbiddenTerms:
    """The tokens that would complete a term, a `Forbidding`.

    Args:
        terms: As they are written; at least one.
        pieces: Of the tokenizer.
        language: Of the target, a BCP-47 tag. In those that put spaces between words a term begins and ends
            with a word, but a word that goes on in another piece is not seen to go on.
    """

    def __init__(
        self, terms: Iterable[str], pieces: TargetPieces, tokenizer: Tokenizer, language: str
    ) -> None:
        self._texts, self._is_unspaced = pieces.texts, is_unspaced(language)
        self._started: dict[str, list[tuple[str, NDArray[np.int64]]]] = defaultdict(list)
        whole: set[int] = set()  # at the beginning of a word; pieces that hold it, anywhere
        anywhere: set[int] = set()
        written = {pieces.written(term, tokenizer, language) for term in terms} - {""}
        for term in sorted(written):
            whole.update(self._completing(term, pieces))
            for token, place in pieces.holding(term):
                text = pieces.texts[token]
                if self._bounds(text[place - 1]) and self._ends(text[place + len(term) :]):
                    anywhere.add(token)
            for i in range(1, len(term)):
                if ids := self._completing(term[i:], pieces):
                    self._started[term[i - 1]].append((term[:i], np.array(ids)))
        self._anywhere = np.array(sorted(anywhere), np.int64)
        self._at_word = np.array(sorted(anywhere | whole), np.int64)
        self._longest = max(map(len, written), default=0)

    def after(self, prefix: Sequence[int]) -> NDArray[np.int64]:
        """The tokens that would complete a term behind a target prefix."""
        tail = "".join(self._texts[token] for token in prefix[-self._longest - 1 :])
        found = [self._at_word if self._bounds(tail[-1:]) else self._anywhere]
        for start, ids in self._started.get(tail[-1:], ()):
            if tail.endswith(start) and self._bounds(tail[: -len(start)][-1:]):
                found.append(ids)
        return np.concatenate(found)

    def _completing(self, rest: str, pieces: TargetPieces) -> list[int]:
        """The pieces that begin with the rest of a term, and do not go on with its last word."""
        return [i for i in pieces.beginning_with(rest) if self._ends(pieces.texts[i][len(rest) :])]

    def _ends(self, following: str) -> bool:
        return not following or self._bounds(following[0])

    def _bounds(self, character: str) -> bool:
        """Whether a word may begin behind a character, or end before it; behind nothing one may begin."""
        return self._is_unspaced or not character.isalnum()
