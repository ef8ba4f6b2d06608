"""One step of the decoder over a lane's rows, without what scores are made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from export.contract.graph_names import GraphName
from export.contract.manifest import Manifest
from export.contract.tensors import TensorSpec
from server.engine.searches.search import GREEDY_SCORE, Array
from server.engine.tensors.bindings import Bindings, Outputs
from server.engine.tensors.storage import Storage

NOTHING: Outputs = frozenset()
# What needs log-probabilities, and what needs all of them in main memory.
SCORES: Outputs = frozenset({GraphName.LOG_PROBS, GraphName.CANDIDATES, GREEDY_SCORE})
ALL_SCORES: Outputs = frozenset({GraphName.LOG_PROBS, GREEDY_SCORE})


class DecoderStep:
    """Runs a step graph, and attention where it is asked for.

    Args:
        graph: The step's.
        result: Its output that every row needs.
    """

    def __init__(
        self, manifest: Manifest, bindings: Bindings, storage: Storage, graph: str, result: str
    ) -> None:
        self._bindings, self._storage = bindings, storage
        self._graph, self._result = graph, frozenset({result})
        attention = manifest.graphs.get(GraphName.ATTENTION)
        self._attention = _names(attention.outputs) if attention else NOTHING
        step_outputs = _names(manifest.graphs[graph].outputs)
        self._queries = _names(attention.inputs) & step_outputs if attention else NOTHING

    def run(self, rows: int, requested: Outputs) -> Mapping[str, Array]:
        """Run the step over the first rows.

        Args:
            requested: See `Search.extra_outputs`.

        Returns:
            By name what was requested, without the scores.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        if not requested:
            self._bindings.run(self._graph, rows, self._result)
            return {}
        extra = step_outputs = requested - SCORES
        if attention := extra & self._attention:
            step_outputs = (extra - attention) | self._queries
        self._bindings.run(self._graph, rows, step_outputs | self._result)
        if attention:
            self._bindings.run(GraphName.ATTENTION, rows, attention)
        return {name: self._storage.read(name, rows) for name in extra}


def _names(specs: Iterable[TensorSpec]) -> Outputs:
    return frozenset(spec.name for spec in specs)
