"""Where the tensors of a lane are: what all devices have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from export.contract.graph_names import GraphName
from export.contract.manifest import Manifest
from export.contract.tensors import TensorSpec
from server.engine.tensors.controls import Controls

Bind = Callable[..., None]  # `bind_input` or `bind_output` of an IOBinding


class Storage(Protocol):
    """Controls, pools and outputs of a lane, each in a place that stays."""

    @property
    def controls(self) -> Controls:
        """What rows are told, in main memory."""

    @property
    def pools(self) -> Mapping[str, Any]:
        """Caches, states and memory by name.

        Those that a graph writes are bound as input and output at once, so a step copies nothing.
        """

    def bind(self, bind: Bind, name: str, rows: int) -> None:
        """Bind the first rows of a control, a pool or an output, by its name in a graph."""

    def read(self, name: str, rows: int) -> Any:
        """The first rows of an output that was bound before; a view that the next step changes."""

    def copy_columns(self, from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
        """Copy columns [start, end) of all caches from one hypothesis, of any row, over another's."""

    def clear_row(self, row: int) -> None:
        """Zero a row of the pools, after a score that is no number."""


def pool_specs(manifest: Manifest) -> dict[str, TensorSpec]:
    """All pools by name."""
    return {spec.name: spec for spec in (*manifest.caches, *manifest.states, *manifest.memory)}


def output_specs(manifest: Manifest, step_graph: str) -> dict[str, TensorSpec]:
    """By name the outputs of the graphs that run in a step."""
    names = (step_graph, GraphName.ATTENTION, GraphName.LOG_PROBS, GraphName.CANDIDATES)
    graphs = [manifest.graphs[name] for name in names if name in manifest.graphs]
    return {spec.name: spec for graph in graphs for spec in graph.outputs}
