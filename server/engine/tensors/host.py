"""The tensors of a lane in main memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from export.contract.manifest import Manifest
from export.contract.tensors import TensorSpec
from server.engine.searches.search import Array
from server.engine.tensors.controls import Controls
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.storage import Bind, output_specs, pool_specs


class HostStorage:
    """A `Storage` of NumPy arrays.

    Args:
        step_graph: The one that the lane steps with.
    """

    def __init__(self, manifest: Manifest, shape: LaneShape, step_graph: str) -> None:
        self._shape = shape
        self.controls = Controls(shape.rows, shape.width, manifest.special_ids.start)
        self._pool_specs = pool_specs(manifest)
        self._output_specs = output_specs(manifest, step_graph)
        self._unstacked = (*manifest.states, *manifest.memory)
        self.pools: dict[str, Any] = {}
        self._stacks = [self._new_stack(specs) for specs in _by_kind(manifest.caches)]
        self.pools |= {spec.name: np.zeros(shape.of(spec), spec.dtype) for spec in self._unstacked}
        self.outputs: dict[str, Array] = {}

    def _new_stack(self, specs: Sequence[TensorSpec]) -> Array:
        """Caches of one shape in one array: copying a column of all of them is then one operation."""
        stack = np.zeros((len(specs), *self._shape.of(specs[0])), specs[0].dtype)
        self.pools |= {spec.name: pool for spec, pool in zip(specs, stack, strict=True)}
        return np.moveaxis(stack, 1 + specs[0].shape.index("columns"), 2)  # (caches, R·W, M, ...)

    def bind(self, bind: Bind, name: str, rows: int) -> None:
        """Bind the first rows of a control, a pool or an output, by its name in a graph."""
        pool = name.removesuffix("_out")
        if pool in self.pools:
            bind_array(bind, name, self.pools[pool][: rows * self._shape.num_per_row(self._pool_specs[pool])])
        else:
            control = self.controls.arrays.get(name)
            bind_array(bind, name, (self.output(name) if control is None else control)[:rows])

    def output(self, name: str) -> Array:
        """An output of all rows; it has its place from the first use on."""
        if name not in self.outputs:
            spec = self._output_specs[name]
            self.outputs[name] = np.empty(self._shape.of(spec), spec.dtype)
        return self.outputs[name]

    def read(self, name: str, rows: int) -> Any:
        """The first rows of an output that was bound before; a view that the next step changes."""
        return self.outputs[name][:rows]

    def copy_columns(self, from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
        """Copy columns [start, end) of all caches from one hypothesis, of any row, over another's."""
        for stack in self._stacks:
            stack[:, to_hypothesis, start:end] = stack[:, from_hypothesis, start:end]

    def copy_row(self, row: int, other_row: int) -> None:
        """Copy a row, as far as it is in use, over another."""
        width, num_columns = self._shape.width, int(self.controls.position[row])
        for i in range(width):
            self.copy_columns(row * width + i, other_row * width + i, 0, num_columns)
        num_tokens = int(self.controls.source_length[row])
        for spec in self._unstacked:
            place = tuple(slice(num_tokens if axis == "source_capacity" else None) for axis in spec.shape[1:])
            self.pools[spec.name][(other_row, *place)] = self.pools[spec.name][(row, *place)]
        self.controls.copy_row(row, other_row)

    def clear_row(self, row: int) -> None:
        """Zero a row of the pools, after a score that is no number."""
        width = self._shape.width
        for stack in self._stacks:
            stack[:, row * width : (row + 1) * width] = 0
        for spec in self._unstacked:
            self.pools[spec.name][row] = 0


def _by_kind(specs: Iterable[TensorSpec]) -> list[list[TensorSpec]]:
    """Specs of one shape and type together."""
    groups: dict[tuple[object, ...], list[TensorSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.shape, spec.dtype), []).append(spec)
    return list(groups.values())


def bind_array(bind: Bind, name: str, array: Array) -> None:
    """Bind an array in place; it must outlive the binding."""
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
