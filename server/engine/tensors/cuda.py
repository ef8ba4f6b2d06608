"""A lane's tensors on a GPU: graphs read and write fixed places there, so that steps replay as CUDA graphs.

A step runs the next power of two of rows: each such number is captured once and then replayed. What rows are
told is copied to the GPU before a step, and of its results only what searches read comes back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime

from export.contract.manifest import ATTENTION, CANDIDATES, COPY_CACHES, DECODER_STEP, LOG_PROBS, TensorInfo
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Array, Best, StepOutputs
from server.engine.tensors.lane_tensors import LaneShape, LaneTensors, Outputs

_DEVICE = ("cuda", 0)


class CudaLaneTensors(LaneTensors):
    """The same contract as `LaneTensors`; rows cannot move, and hypotheses are copied whole."""

    def __init__(self, graphs: GraphRunner, shape: LaneShape) -> None:
        super().__init__(graphs, shape)
        self._values: dict[str, Any] = {
            spec.name: _on_device(self.controls.arrays[spec.name])
            for spec in graphs.session.manifest.graphs[DECODER_STEP].inputs
            if spec.name in self.controls.arrays
        }
        self._copies: list[tuple[int, int]] = []  # hypotheses, from and to
        self._replays: dict[tuple[str, int], int] = defaultdict(graphs.new_replay)

    def _new_stack(self, specs: Sequence[TensorInfo]) -> Array:
        self._pools |= {spec.name: self._new_pool(spec) for spec in specs}
        return np.empty((0, 0, 0))

    def _new_pool(self, spec: TensorInfo) -> Any:
        return _on_device(np.zeros(self._shape.of(spec), spec.dtype))

    def step(self, rows: int, asked: Outputs = frozenset()) -> StepOutputs:
        """See `LaneTensors.step`; all but attention is computed, and only what is asked for is copied."""
        bucket = min(1 << (rows - 1).bit_length(), self._shape.rows)
        for name, value in self._values.items():
            if name in self.controls.arrays:
                value.update_inplace(self.controls.arrays[name])
        self._copy_hypotheses()
        attention = [ATTENTION] if asked & self._attention else []
        for graph in (DECODER_STEP, *attention, LOG_PROBS, CANDIDATES):
            self._run(graph, bucket)
        best = Best(self._read("best_token", rows), self._read("best_log_probs", rows))
        greedy = Best(best.token[:, 0, 0], best.score[:, 0, 0]) if self._shape.width == 1 else None
        log_probs = self._read("log_probs", rows) if LOG_PROBS in asked else None
        extra = {name: self._read(name, rows) for name in asked - {LOG_PROBS, CANDIDATES}}
        return StepOutputs(greedy, best, log_probs, extra)

    def _run(self, graph: str, rows: int) -> None:
        """Run a graph; states, which capturing it has moved on several times, go on from where they were.

        Source: microsoft/onnxruntime issue 32243, that a first run computes more than once.
        """
        is_first = (graph, rows) not in self._replays
        written = self._graphs.session.manifest.states if is_first and graph == DECODER_STEP else ()
        before = {spec.name: _on_device(self._pools[spec.name].numpy()) for spec in written}
        self._graphs.run(graph, self._binding(graph, rows), self._replays[graph, rows])
        if before:
            for name, state in before.items():
                self._pools[name].update_inplace(state)
            self._graphs.run(graph, self._binding(graph, rows), self._replays[graph, rows])

    def _given(self, graph: str, extra: Outputs) -> Outputs:
        """All: a binding is captured once."""
        del extra
        return frozenset(spec.name for spec in self._graphs.session.manifest.graphs[graph].outputs)

    def _bind(self, bind: Callable[..., None], name: str, rows: int) -> None:
        pool = name.removesuffix("_out")
        spec = self._pool_specs.get(pool) or self._output_specs.get(name)
        value = self._pools[pool] if pool in self._pools else self._value(name)
        first = rows * self._shape.width if spec and spec.shape[0] == "hypotheses" else rows
        dtype = np.dtype(spec.dtype if spec else np.int64)  # controls are of int64
        bind(name, *_DEVICE, dtype, (first, *value.shape()[1:]), value.data_ptr())

    def _value(self, name: str) -> Any:
        if name not in self._values:
            spec = self._output_specs[name]
            self._values[name] = _on_device(np.zeros(self._shape.of(spec), spec.dtype))
        return self._values[name]

    def _read(self, name: str, rows: int) -> Any:
        return self._values[name].numpy()[:rows]

    def _copy_columns(self, from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
        del start, end
        self._copies.append((from_hypothesis, to_hypothesis))

    def _copy_hypotheses(self) -> None:
        """All copies that the last step's continuations asked for, in one run."""
        if not self._copies:
            return
        binding = self._graphs.binding(COPY_CACHES)
        names = ("from_hypothesis", "to_hypothesis")
        for name, indices in zip(names, np.array(self._copies, np.int64).T, strict=True):
            binding.bind_cpu_input(name, np.ascontiguousarray(indices))
        for spec in self._graphs.session.manifest.caches:
            value = self._pools[spec.name]
            for bind, name in ((binding.bind_input, spec.name), (binding.bind_output, f"{spec.name}_out")):
                bind(name, *_DEVICE, np.dtype(spec.dtype), value.shape(), value.data_ptr())
        self._graphs.run(COPY_CACHES, binding)
        self._copies.clear()

    def move_row(self, row: int, other_row: int) -> None:
        """Not on a GPU: `ModelSession.can_move_rows` is False there."""
        raise NotImplementedError

    def clear_row(self, row: int) -> None:
        """See `LaneTensors.clear_row`; by way of main memory, which is slow, and rare."""
        for spec in self._pool_specs.values():
            each = self._shape.width if spec.shape[0] == "hypotheses" else 1
            array = self._pools[spec.name].numpy().copy()
            array[row * each : (row + 1) * each] = 0
            self._pools[spec.name].update_inplace(array)


def _on_device(array: Array) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array, *_DEVICE)
