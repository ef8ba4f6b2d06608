"""The tensors of a lane, which a model's graphs read and write in place: in main memory or on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.manifest import BEAM, ENCODER, GREEDY, TensorInfo
from server.engine.session import ModelSession

Array = NDArray[np.generic]


def new_lane_tensors(session: ModelSession, rows: int, beam_size: int, capacity: int) -> LaneTensors:
    """Zeroed tensors for so many sequences of beam_size hypotheses and capacity positions."""
    kind = LaneTensors if session.device == "cpu" else CudaLaneTensors
    return kind(session, rows, beam_size, capacity)


class LaneTensors:
    """Everything a lane's graphs read and write, in fixed places in main memory.

    Control arrays hold one row for each slot: token (R, W), position (R), source_length (R) and, for
    beams, is_ancestor (R, W, M), M = W · capacity. Caches and memory are pools of R rows, bound as
    input and output at once, so a step copies nothing.
    """

    def __init__(self, session: ModelSession, rows: int, beam_size: int, capacity: int) -> None:
        self._session = session
        self._graph = GREEDY if beam_size == 1 else BEAM
        self._sizes = {"rows": rows, "columns": beam_size * capacity, "source_capacity": capacity}
        manifest = session.manifest
        self.token = np.full((rows, beam_size), manifest.special_ids.start, np.int64)
        self.position = np.zeros(rows, np.int64)
        self.source_length = np.ones(rows, np.int64)
        self.is_ancestor = np.zeros((rows, beam_size, beam_size * capacity), np.bool_)
        self._pools = {spec.name: self._new_pool(spec) for spec in (*manifest.caches, *manifest.memory)}
        self._outputs = self._new_outputs(rows, beam_size)
        self._bindings: dict[int, Any] = {}

    def _shape(self, spec: TensorInfo) -> tuple[int, ...]:
        return tuple(self._sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)

    def _new_pool(self, spec: TensorInfo) -> Any:
        return np.zeros(self._shape(spec), spec.dtype)

    def _new_outputs(self, rows: int, beam_size: int) -> dict[str, Array]:
        if beam_size == 1:
            return {"log_probs": np.empty((rows, 1, self._session.manifest.vocabulary_size), np.float32)}
        shape = (rows, beam_size, 2 * beam_size)
        return {"best_log_probs": np.empty(shape, np.float32), "best_token": np.empty(shape, np.int64)}

    def _controls(self) -> dict[str, Array]:
        controls: dict[str, Array] = {
            "token": self.token,
            "position": self.position,
            "source_length": self.source_length,
        }
        if self._graph == BEAM:
            controls["is_ancestor"] = self.is_ancestor
        return controls

    def encode(self, source: Array, source_length: Array, slot: Array) -> None:
        """Encode sources (b, s) into rows `slot` of the memory pools."""
        binding = self._session.binding(ENCODER)
        for name, array in (("source", source), ("source_length", source_length), ("slot", slot)):
            binding.bind_cpu_input(name, array)
        for spec in self._session.manifest.memory:
            self._bind_pool(binding.bind_input, spec.name, spec, self._sizes["rows"])
            self._bind_pool(binding.bind_output, f"{spec.name}_out", spec, self._sizes["rows"])
        self._session.run(ENCODER, binding)

    def step(self, rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """One decoder step over rows [0, rows).

        Returns:
            Each hypothesis' best next tokens: log-probabilities and ids (rows, W, 2W), descending;
            (rows, 1, 1) for greedy search.
        """
        binding = self._step_binding(rows)
        self._session.run(self._graph, binding)
        return self._candidates(self._read(binding, rows))

    def _candidates(self, outputs: list[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self._graph == BEAM:
            best_log_probs, best_token = outputs
            return best_log_probs, best_token
        (log_probs,) = outputs
        best = log_probs.argmax(axis=-1, keepdims=True)  # 10 times as fast as ArgMax in the graph
        return np.take_along_axis(log_probs, best, axis=-1), best

    def _step_binding(self, rows: int) -> Any:
        if rows not in self._bindings:
            binding = self._session.binding(self._graph)
            for name, array in self._controls().items():
                _bind_array(binding.bind_input, name, array[:rows])
            for name, array in self._outputs.items():
                _bind_array(binding.bind_output, name, array[:rows])
            self._bind_pools(binding, rows)
            self._bindings[rows] = binding
        return self._bindings[rows]

    def _bind_pools(self, binding: Any, rows: int) -> None:
        for spec in self._session.manifest.caches:
            self._bind_pool(binding.bind_input, spec.name, spec, rows)
            self._bind_pool(binding.bind_output, f"{spec.name}_out", spec, rows)
        for spec in self._session.manifest.memory:
            self._bind_pool(binding.bind_input, spec.name, spec, rows)

    def _bind_pool(self, bind: Callable[..., None], name: str, spec: TensorInfo, rows: int) -> None:
        _bind_array(bind, name, self._pools[spec.name][:rows])

    def _read(self, binding: Any, rows: int) -> list[Array]:
        del binding
        return [array[:rows] for array in self._outputs.values()]

    def move_row(self, row: int, other: LaneTensors, other_row: int) -> None:
        """Copy a row's tensors, as far as they are in use, to a row of a lane of the same beam size.

        The other lane may be this one, and its capacity must not be smaller.
        """
        used_columns = int(self.position[row]) * self.token.shape[1]
        used_source = int(self.source_length[row])
        for specs, used in (
            (self._session.manifest.caches, used_columns),
            (self._session.manifest.memory, used_source),
        ):
            for spec in specs:
                other._pools[spec.name][other_row, :, :used] = self._pools[spec.name][row, :, :used]
        other.token[other_row] = self.token[row]
        other.position[other_row] = self.position[row]
        other.source_length[other_row] = self.source_length[row]
        columns = self.is_ancestor.shape[2]
        other.is_ancestor[other_row] = False
        other.is_ancestor[other_row, :, :columns] = self.is_ancestor[row]

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

    def _step_binding(self, rows: int) -> Any:
        if rows not in self._bindings:
            binding = self._session.binding(self._graph)
            for name in self._outputs:
                binding.bind_output(name, "cpu")
            self._bind_pools(binding, rows)
            self._bindings[rows] = binding
        binding = self._bindings[rows]
        for name, array in self._controls().items():
            binding.bind_cpu_input(name, array[:rows])
        return binding

    def _read(self, binding: Any, rows: int) -> list[Array]:
        del rows
        return [value.numpy() for value in binding.get_outputs()[: len(self._outputs)]]

    def move_row(self, row: int, other: LaneTensors, other_row: int) -> None:
        """Not on a GPU: `ModelSession.can_move_rows` is False there."""
        raise NotImplementedError

    def clear_row(self, row: int) -> bool:
        """A row of GPU memory cannot be zeroed alone: its slot is given up."""
        del row
        return False


def _bind_array(bind: Callable[..., None], name: str, array: Array) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
