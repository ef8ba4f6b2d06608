"""Which tokens the rows of a lane score, all together: each has a place of its own, which stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


class CandidateUnion:
    """The candidates of all rows, each once, in the order in which they came.

    A token that no row scores any more keeps its place until `forget`: the next row may need it.

    Args:
        vocabulary_size: V.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._num_rows = np.zeros(vocabulary_size, np.int32)  # that score each token
        self._place = np.full(vocabulary_size, -1, np.int64)
        self.tokens: Tokens = np.empty(0, np.int64)  # by place
        self.num_needed = 0

    def add(self, tokens: Tokens) -> None:
        """A row scores these, each named once; they have no places before `place_missing`."""
        self._num_rows[tokens] += 1
        self.num_needed += int(np.count_nonzero(self._num_rows[tokens] == 1))

    def remove(self, tokens: Tokens) -> None:
        """A row that scored these does no more."""
        self._num_rows[tokens] -= 1
        self.num_needed -= int(np.count_nonzero(self._num_rows[tokens] == 0))

    @property
    def is_loose(self) -> bool:
        """Whether more than half of the places are no longer needed."""
        return len(self.tokens) > 2 * self.num_needed

    def forget(self) -> None:
        """Take all places back."""
        self._place.fill(-1)
        self.tokens = self.tokens[:0]

    def place_missing(self) -> Tokens:
        """Give places behind all others to the tokens that need one; returns these, ascending."""
        missing = np.flatnonzero((self._num_rows > 0) & (self._place < 0))
        self._place[missing] = np.arange(len(self.tokens), len(self.tokens) + len(missing))
        self.tokens = np.concatenate([self.tokens, missing])
        return missing

    def places(self, tokens: Tokens) -> Tokens:
        """The places of tokens; -1 of a token without a place."""
        places: Tokens = self._place[tokens]
        return places
