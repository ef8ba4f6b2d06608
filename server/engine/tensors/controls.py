"""What a decoder step is told of each row: tokens, position, and which hypothesis goes on from which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from server.engine.searches.search import Continuation
from server.engine.tensors.packed import Buffer, Packing, zeros

_FEW = 4  # rows: for more, whole arrays are faster


class Controls:
    """The control arrays of a lane of R rows, W hypotheses each.

    token (R, W), position (R), source_length (R), and parent (R, W), the hypothesis of the last step that
    each one goes on from. All are in one buffer, for devices that they are copied to.

    Args:
        start_id: The token of step 0.
        new_buffer: Gives so many zeroed bytes to be the buffer.
    """

    def __init__(
        self, rows: int, width: int, start_id: int, new_buffer: Callable[[int], Buffer] = zeros
    ) -> None:
        self._start_id = start_id
        self._places = np.arange(width)
        shapes = {
            "token": (rows, width),
            "position": (rows,),
            "source_length": (rows,),
            "parent": (rows, width),
        }
        self.packing = Packing({name: (shape, np.int64) for name, shape in shapes.items()})
        self.buffer = new_buffer(self.packing.num_bytes)
        self.arrays = self.packing.views(self.buffer)
        self.token, self.position = self.arrays["token"], self.arrays["position"]
        self.source_length, self.parent = self.arrays["source_length"], self.arrays["parent"]
        for row in range(rows):
            self.reset(row)

    def reset(self, row: int, source_length: int = 1) -> None:
        """Step 0 of a sequence; also what a free row holds, so that it computes harmless numbers."""
        self.token[row] = self._start_id
        self.position[row] = 0
        self.source_length[row] = source_length
        self.parent[row] = self._places

    def advance(self, continuations: Mapping[int, Continuation]) -> None:
        """The next step of the sequences in some rows."""
        if len(continuations) <= _FEW:
            for row, continuation in continuations.items():
                self.position[row] += 1
                self.token[row] = continuation.tokens
                self.parent[row] = continuation.parents
            return
        rows = np.array(list(continuations), np.int64)
        self.position[rows] += 1
        self.token[rows] = self._array(c.tokens for c in continuations.values())
        if len(self._places) > 1:
            self.parent[rows] = self._array(c.parents for c in continuations.values())

    def _array(self, values: Iterable[list[int]]) -> NDArray[np.int64]:
        """Values of W each as (n, W), faster than NumPy reads nested lists."""
        return np.fromiter(chain.from_iterable(values), np.int64).reshape(-1, len(self._places))

    def copy_row(self, row: int, other_row: int) -> None:
        """Copy a row over another."""
        for array in self.arrays.values():
            array[other_row] = array[row]
