"""The output layer's columns of those tokens alone that some row of a lane scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.contract.graph_names import GraphName
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Array
from server.engine.sequence import InferenceError
from server.engine.tensors.candidate_union import CandidateUnion, Tokens

# ONNX Runtime sums a product of floats in another order when it has few columns.
MULTIPLE = 1024


class OutputColumns:
    """A contiguous array for each output of OUTPUT_COLUMNS, a token to a column: weights (E', K), scales (K).

    A row's candidates are added to `union` or removed from it, and `update` then does the work for all of
    them at once.

    Args:
        graphs: Of the engine.
        vocabulary_size: V.
    """

    def __init__(self, graphs: GraphRunner, vocabulary_size: int) -> None:
        self._graphs = graphs
        self._specs = graphs.session.manifest.graphs[GraphName.OUTPUT_COLUMNS].outputs
        self.union = CandidateUnion(vocabulary_size)
        self.arrays: Mapping[str, Array] = self._new_arrays(0)

    @property
    def size(self) -> int:
        """K, a multiple of `MULTIPLE`; columns behind the last place hold anything."""
        return int(next(iter(self.arrays.values())).shape[-1])

    def update(self) -> bool:
        """Fetch what is missing; the whole is fetched anew once more than half of it is no longer needed.

        Returns:
            Whether tokens have changed their places.

        Raises:
            InferenceError: ONNX Runtime failed; the next update then fetches all.
        """
        union = self.union
        if union.is_loose:
            union.forget()
        start = len(union.tokens)
        missing = union.place_missing()
        size = -(-len(union.tokens) // MULTIPLE) * MULTIPLE
        if size > self.size or (start == 0 and size < self.size):
            self._resize(size, start)
        try:
            self._fetch(missing, start)
        except InferenceError:
            union.forget()
            raise
        return start == 0

    def _new_arrays(self, size: int) -> dict[str, Array]:
        return {
            spec.name: np.zeros((*(int(axis) for axis in spec.shape[:-1]), size), spec.dtype)
            for spec in self._specs
        }

    def _resize(self, size: int, num_kept: int) -> None:
        arrays = self._new_arrays(size)
        for name, array in arrays.items():
            array[..., :num_kept] = self.arrays[name][..., :num_kept]
        self.arrays = arrays

    def _fetch(self, tokens: Tokens, start: int) -> None:
        """Write the columns of some tokens from place `start` on."""
        if not len(tokens):
            return
        binding = self._graphs.binding(GraphName.OUTPUT_COLUMNS)
        binding.bind_cpu_input("token", tokens)
        for spec in self._specs:
            binding.bind_output(spec.name, "cpu")
        self._graphs.run(GraphName.OUTPUT_COLUMNS, binding)
        for spec, values in zip(self._specs, binding.copy_outputs_to_cpu(), strict=True):
            self.arrays[spec.name][..., start : start + len(tokens)] = values
