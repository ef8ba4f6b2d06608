"""Which tensors of a lane each run of a graph reads and writes."""

from __future__ import annotations

from typing import Any

from export.contract.graph_names import GraphName
from server.engine.graph_runner import GraphRunner
from server.engine.tensors.storage import Storage

# Bindings are kept for each number of rows and set of outputs; what requests choose must not pile up.
MAX_BINDINGS = 512

Outputs = frozenset[str]


class Bindings:
    """Bindings of a lane's graphs to its storage, made when they are first needed.

    Args:
        graphs: Of the engine.
    """

    def __init__(self, graphs: GraphRunner, storage: Storage) -> None:
        self._graphs, self._storage = graphs, storage
        self._kept: dict[tuple[str, int, Outputs | None, bool], Any] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def run(self, graph: str, rows: int, outputs: Outputs | None = None) -> None:
        """Run a graph over the first rows, see `get`.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        self._graphs.run(graph, self.get(graph, rows, outputs))

    def get(self, graph: str, rows: int, outputs: Outputs | None = None) -> Any:
        """The binding of a graph over the first rows.

        Args:
            outputs: Those that somebody reads, None for all; pools that it writes are bound anyway.
        """
        key = (graph, rows, outputs, self._graphs.is_exclusive)
        if key not in self._kept:
            if len(self._kept) >= MAX_BINDINGS:
                self._kept.clear()
            self._kept[key] = self._new(graph, rows, outputs)
        return self._kept[key]

    def _new(self, graph: str, rows: int, outputs: Outputs | None) -> Any:
        """Bind controls, pools, and outputs of other graphs; what is new in an encoder run is bound there."""
        binding = self._graphs.binding(graph)
        info, pools = self._graphs.session.manifest.graphs[graph], self._storage.pools
        for spec in info.inputs:
            if graph != GraphName.ENCODER or spec.name in pools:
                self._storage.bind(binding.bind_input, spec.name, rows)
        for spec in info.outputs:
            if outputs is None or spec.name in outputs or spec.name.removesuffix("_out") in pools:
                self._storage.bind(binding.bind_output, spec.name, rows)
        return binding
