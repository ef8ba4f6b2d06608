"""What a decoder step is told of each row: tokens, positions, and which hypothesis goes on from which."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from server.engine.search import Array, Continuation


class Controls:
    """The control arrays of a lane of R rows, W hypotheses each; the caches have M = W · capacity columns.

    token (R, W), position (R), source_length (R); and as far as the graph asks for them is_ancestor
    (R, W, M), the columns of the caches that each hypothesis descends from, and parent (R, W), the
    hypothesis of the last step whose state each one goes on from.

    Args:
        inputs: Names of the graph's inputs.
        start_id: The token of step 0.
    """

    def __init__(self, inputs: Collection[str], rows: int, width: int, capacity: int, start_id: int) -> None:
        self._width, self._capacity, self._start_id = width, capacity, start_id
        self.token = np.full((rows, width), start_id, np.int64)
        self.position = np.zeros(rows, np.int64)
        self.source_length = np.ones(rows, np.int64)
        self.arrays: dict[str, Array] = {
            "token": self.token,
            "position": self.position,
            "source_length": self.source_length,
        }
        self.is_ancestor: NDArray[np.bool_] | None = None
        if "is_ancestor" in inputs:
            self.arrays["is_ancestor"] = self.is_ancestor = np.zeros(
                (rows, width, width * capacity), np.bool_
            )
        self.parent: NDArray[np.int64] | None = None
        if "parent" in inputs:
            self.arrays["parent"] = self.parent = np.zeros((rows, width), np.int64)
        for row in range(rows):
            self.reset(row)

    def reset(self, row: int, source_length: int = 1) -> None:
        """Step 0 of a sequence; also what a free row holds, so that it computes harmless numbers."""
        self.token[row] = self._start_id
        self.position[row] = 0
        self.source_length[row] = source_length
        if self.parent is not None:
            self.parent[row] = np.arange(self._width)
        if self.is_ancestor is not None:
            self.is_ancestor[row] = False
            self._mark_own_columns(self.is_ancestor, row)

    def advance(self, row: int, continuation: Continuation) -> None:
        """The next step of a sequence; past the capacity it must move before that."""
        self.token[row] = continuation.tokens
        self.position[row] += 1
        if self.parent is not None:
            self.parent[row] = continuation.parents
        if self.is_ancestor is not None:
            self.is_ancestor[row] = self.is_ancestor[row][continuation.parents]
            if self.position[row] < self._capacity:
                self._mark_own_columns(self.is_ancestor, row)

    def copy_row(self, row: int, other: Controls, other_row: int) -> None:
        """Copy a row to a row of as many hypotheses, of the same capacity or a larger one."""
        other.token[other_row] = self.token[row]
        other.position[other_row] = self.position[row]
        other.source_length[other_row] = self.source_length[row]
        if self.parent is not None and other.parent is not None:
            other.parent[other_row] = self.parent[row]
        if self.is_ancestor is not None and other.is_ancestor is not None:
            other.is_ancestor[other_row] = False
            other.is_ancestor[other_row, :, : self.is_ancestor.shape[2]] = self.is_ancestor[row]
            other._mark_own_columns(other.is_ancestor, other_row)

    def _mark_own_columns(self, is_ancestor: NDArray[np.bool_], row: int) -> None:
        hypotheses = np.arange(self._width)
        first = int(self.position[row]) * self._width
        is_ancestor[row, hypotheses, first + hypotheses] = True
