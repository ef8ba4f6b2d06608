"""The tensors of a lane, which a model's graphs read and write in place: in main memory or on a GPU.

What there is to bind, the manifest says; no model's architecture is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from export.manifest import BEAM, ENCODER, GREEDY, TensorInfo
from server.engine.controls import Controls
from server.engine.search import Array, StepOutputs
from server.engine.session import ModelSession

# Bindings are kept for each number of rows and set of outputs; what requests choose must not pile up.
MAX_BINDINGS = 512

Outputs = frozenset[str]


def new_lane_tensors(session: ModelSession, rows: int, width: int, capacity: int) -> LaneTensors:
    """Zeroed tensors for so many sequences of width hypotheses and capacity positions."""
    kind = LaneTensors if session.device == "cpu" else CudaLaneTensors
    return kind(session, rows, width, capacity)


class LaneTensors:
    """Everything a lane's graphs read and write, in fixed places in main memory.

    Caches, states and memory are pools of R rows. Those that a graph writes are bound as input and
    output at once, so a step copies nothing.
    """

    def __init__(self, session: ModelSession, rows: int, width: int, capacity: int) -> None:
        self._session = session
        self._graph = GREEDY if width == 1 else BEAM
        self._sizes = {
            "rows": rows,
            "beam": width,
            "2*beam": 2 * width,
            "columns": width * capacity,
            "source_capacity": capacity,
        }
        manifest = session.manifest
        graph = manifest.graphs[self._graph]
        inputs = {spec.name for spec in graph.inputs}
        self.controls = Controls(inputs, rows, width, capacity, manifest.special_ids.start)
        self._written = (*manifest.caches, *manifest.states)
        self._pools = {spec.name: self._new_pool(spec) for spec in (*self._written, *manifest.memory)}
        self._output_specs = {spec.name: spec for spec in graph.outputs}
        self._outputs: dict[str, Array] = {}
        self._always = ("log_probs",) if width == 1 else ("best_log_probs", "best_token")
        self._bindings: dict[tuple[int, Outputs], Any] = {}

    def _shape(self, spec: TensorInfo) -> tuple[int, ...]:
        return tuple(self._sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)

    def _new_pool(self, spec: TensorInfo) -> Any:
        return np.zeros(self._shape(spec), spec.dtype)

    def encode(self, source: Array, source_length: Array, slot: Array) -> None:
        """Encode sources (b, s) into rows `slot` of the memory pools."""
        binding = self._session.binding(ENCODER)
        for name, array in (("source", source), ("source_length", source_length), ("slot", slot)):
            binding.bind_cpu_input(name, array)
        for spec in self._session.manifest.memory:
            self._bind_pool(binding.bind_input, spec.name, spec, self._sizes["rows"])
            self._bind_pool(binding.bind_output, f"{spec.name}_out", spec, self._sizes["rows"])
        self._session.run(ENCODER, binding)

    def step(self, rows: int, extra: Outputs = frozenset()) -> StepOutputs:
        """One decoder step over rows [0, rows).

        Args:
            extra: Outputs to fetch besides those that every search reads; one that is not fetched
                costs nothing.

        Returns:
            Views that hold until the next step.
        """
        binding = self._step_binding(rows, extra)
        self._session.run(self._graph, binding)
        names = (*self._always, *sorted(extra))
        outputs = dict(zip(names, self._read(binding, rows, names), strict=True))
        if self._graph == BEAM:
            return StepOutputs(outputs["best_log_probs"], outputs["best_token"], extra=outputs)
        log_probs = outputs["log_probs"]
        best = log_probs.argmax(axis=-1, keepdims=True)  # 10 times as fast as ArgMax in the graph
        return StepOutputs(np.take_along_axis(log_probs, best, axis=-1), best, log_probs, outputs)

    def _step_binding(self, rows: int, extra: Outputs) -> Any:
        if (rows, extra) not in self._bindings:
            if len(self._bindings) == MAX_BINDINGS:
                self._bindings.clear()
            self._bindings[rows, extra] = self._new_binding(rows, (*self._always, *sorted(extra)))
        return self._bindings[rows, extra]

    def _new_binding(self, rows: int, outputs: tuple[str, ...]) -> Any:
        binding = self._session.binding(self._graph)
        for name, array in self.controls.arrays.items():
            _bind_array(binding.bind_input, name, array[:rows])
        for name in outputs:
            _bind_array(binding.bind_output, name, self._output(name)[:rows])
        self._bind_pools(binding, rows)
        return binding

    def _output(self, name: str) -> Array:
        if name not in self._outputs:
            spec = self._output_specs[name]
            self._outputs[name] = np.empty(self._shape(spec), spec.dtype)
        return self._outputs[name]

    def _bind_pools(self, binding: Any, rows: int) -> None:
        for spec in self._written:
            self._bind_pool(binding.bind_input, spec.name, spec, rows)
            self._bind_pool(binding.bind_output, f"{spec.name}_out", spec, rows)
        for spec in self._session.manifest.memory:
            self._bind_pool(binding.bind_input, spec.name, spec, rows)

    def _bind_pool(self, bind: Callable[..., None], name: str, spec: TensorInfo, rows: int) -> None:
        _bind_array(bind, name, self._pools[spec.name][:rows])

    def _read(self, binding: Any, rows: int, names: tuple[str, ...]) -> list[Any]:
        del binding
        return [self._outputs[name][:rows] for name in names]

    def move_row(self, row: int, other: LaneTensors, other_row: int) -> None:
        """Copy a row's tensors, as far as they are in use, to a row of a lane of the same width.

        The other lane may be this one, and its capacity must not be smaller.
        """
        used = {
            "columns": int(self.controls.position[row]) * self._sizes["beam"],
            "source_capacity": int(self.controls.source_length[row]),
        }
        for spec in (*self._written, *self._session.manifest.memory):
            place = tuple(slice(used.get(axis) if isinstance(axis, str) else None) for axis in spec.shape[1:])
            other._pools[spec.name][(other_row, *place)] = self._pools[spec.name][(row, *place)]
        self.controls.copy_row(row, other.controls, other_row)

    def clear_row(self, row: int) -> bool:
        """Zero a row of the pools, after a score that is no number; False where that is not possible."""
        for pool in self._pools.values():
            pool[row] = 0
        return True


class CudaLaneTensors(LaneTensors):
    """The same with the pools on the GPU; control arrays are copied there for each step."""

    def _new_pool(self, spec: TensorInfo) -> Any:
        zeros = np.zeros(self._shape(spec), spec.dtype)
        return onnxruntime.OrtValue.ortvalue_from_numpy(zeros, "cuda", 0)

    def _bind_pool(self, bind: Callable[..., None], name: str, spec: TensorInfo, rows: int) -> None:
        shape = (rows, *self._shape(spec)[1:])
        bind(name, "cuda", 0, np.dtype(spec.dtype), shape, self._pools[spec.name].data_ptr())

    def _new_binding(self, rows: int, outputs: tuple[str, ...]) -> Any:
        binding = self._session.binding(self._graph)
        for name in outputs:
            binding.bind_output(name, "cpu")
        self._bind_pools(binding, rows)
        return binding

    def _step_binding(self, rows: int, extra: Outputs) -> Any:
        binding = super()._step_binding(rows, extra)
        for name, array in self.controls.arrays.items():
            binding.bind_cpu_input(name, array[:rows])
        return binding

    def _read(self, binding: Any, rows: int, names: tuple[str, ...]) -> list[Any]:
        del rows
        return [value.numpy() for value in binding.get_outputs()[: len(names)]]

    def move_row(self, row: int, other: LaneTensors, other_row: int) -> None:
        """Not on a GPU: `ModelSession.can_move_rows` is False there."""
        raise NotImplementedError

    def clear_row(self, row: int) -> bool:
        """A row of GPU memory cannot be zeroed alone: its slot is given up."""
        del row
        return False


def _bind_array(bind: Callable[..., None], name: str, array: Array) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
