"""What the hypotheses of a row need not copy from each other."""

from __future__ import annotations

from collections.abc import Sequence


class SharedColumns:
    """Of each row, how many leading columns of the caches any two hypotheses have in common.

    Hypotheses that are reordered copy no more than the columns in which they differ from their new parent.

    >>> shared = SharedColumns(rows=1, width=2)
    >>> shared.inherit(0, parents=[0, 0], num_columns=5)
    [(0, 1, 0)]
    >>> shared.inherit(0, parents=[1, 1], num_columns=6)
    [(1, 0, 5)]

    Args:
        width: W, the hypotheses of a row.
    """

    def __init__(self, rows: int, width: int) -> None:
        self._width = width
        self._num_shared = [self._none()] * rows  # (R, W, W); lists are faster than arrays

    def _none(self) -> list[list[int]]:
        return [[0] * self._width for _ in range(self._width)]

    def reset(self, row: int) -> None:
        """Let the hypotheses of a row have nothing in common: at step 0 there are no columns."""
        self._num_shared[row] = self._none()

    def copy_row(self, row: int, other_row: int) -> None:
        """A row has been copied over another."""
        self._num_shared[other_row] = self._num_shared[row]

    def inherit(self, row: int, parents: Sequence[int], num_columns: int) -> list[tuple[int, int, int]]:
        """Reorder the hypotheses of a row.

        Args:
            parents: For each hypothesis whom it goes on from, see `keep_places`.
            num_columns: Those in use.

        Returns:
            What to copy: from which hypothesis, to which, and the first column in which they differ.
        """
        moved = [(parent, i) for i, parent in enumerate(parents) if parent != i]
        if not moved:
            return []
        shared = self._num_shared[row]
        self._num_shared[row] = [[num_columns if a == b else shared[a][b] for b in parents] for a in parents]
        return [(parent, i, shared[parent][i]) for parent, i in moved]
