"""A lane's tensors on a GPU: graphs read and write fixed places there, so that steps replay as CUDA graphs.

A step runs the next power of two of rows: each such number is captured once and then replayed. What rows are
told is copied to the GPU before a step, and of its results only what searches read comes back. All of that is
asked for in one stream, and waited for once, when the results are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from server.engine.graph_runner import GraphRunner, device_errors
from server.engine.searches.search import Array, Best, StepOutputs
from server.engine.tensors.bindings import Bindings, Outputs
from server.engine.tensors.controls import Controls
from server.engine.tensors.decoder_step import SCORES
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.packed import Packing
from server.engine.tensors.storage import Bind, output_specs, pool_specs

_DEVICE = ("cuda", 0)

Indices = NDArray[np.int64]


class CudaStorage:
    """A `Storage` of OrtValues on a GPU; columns are copied all together before a step.

    Args:
        graphs: Of the engine.
    """

    def __init__(self, graphs: GraphRunner, shape: LaneShape) -> None:
        self._graphs, self._shape = graphs, shape
        manifest = graphs.session.manifest
        assert graphs.session.gpu is not None, "a session on a GPU"
        self._gpu = graphs.session.gpu
        with device_errors("main memory for the GPU's copies"):
            self.controls = Controls(shape.rows, shape.width, manifest.special_ids.start, self._gpu.pinned)
        self._pool_specs = pool_specs(manifest)
        self._output_specs = output_specs(manifest, GraphName.DECODER_STEP)
        self.pools: dict[str, Any] = {
            name: _on_device(np.zeros(shape.of(spec), spec.dtype)) for name, spec in self._pool_specs.items()
        }
        self._controls = _on_device(self.controls.buffer)
        best = manifest.graphs[GraphName.CANDIDATES].outputs
        self._best = Packing({spec.name: (shape.of(spec), spec.dtype) for spec in best})
        with device_errors("main memory for the GPU's copies"):
            self._best_buffer = self._gpu.pinned(self._best.num_bytes)
        self._best_on_device = _on_device(self._best_buffer)
        self._outputs: dict[str, Any] = {}
        self._copies: list[tuple[int, int, int, int]] = []  # from and to which hypothesis, which columns

    def bind(self, bind: Bind, name: str, rows: int) -> None:
        """Bind the first rows of a control, a pool or an output, by its name in a graph."""
        if name in self.controls.arrays:
            array = self.controls.arrays[name]
            place = self._controls.data_ptr() + self.controls.packing.offsets[name]
            bind(name, *_DEVICE, array.dtype, (rows, *array.shape[1:]), place)
            return
        pool = name.removesuffix("_out")
        spec = self._pool_specs.get(pool) or self._output_specs[name]
        if name in self._best.offsets:
            place = self._best_on_device.data_ptr() + self._best.offsets[name]
        else:
            place = (self.pools.get(pool) or self._output(name, spec)).data_ptr()
        num_entries = rows * self._shape.num_per_row(spec)
        bind(name, *_DEVICE, np.dtype(spec.dtype), (num_entries, *self._shape.of(spec)[1:]), place)

    def _output(self, name: str, spec: TensorSpec) -> Any:
        """One of all rows; it has its place from the first use on."""
        if name not in self._outputs:
            self._outputs[name] = _on_device(np.zeros(self._shape.of(spec), spec.dtype))
        return self._outputs[name]

    def read(self, name: str, rows: int) -> Any:
        """Copy the first rows of an output that was bound before to main memory, after `read_best`."""
        with device_errors(f"copying {name} from the GPU"):
            return self._outputs[name].numpy()[:rows]

    def read_best(self, rows: int) -> Best:
        """Copy the best tokens of the first rows to main memory, and wait for all that was asked so far."""
        with device_errors("copying the best tokens from the GPU"):
            self._gpu.copy_from(self._best_buffer, self._best_on_device.data_ptr())
            self._gpu.wait()
        best = self._best.views(self._best_buffer)
        return Best(best["best_token"][:rows], best["best_log_probs"][:rows])  # (R, W, 2W)

    def prepare_step(self) -> None:
        """Bring to the GPU what rows are told, and copy hypotheses as the last continuations need it."""
        with device_errors("copying controls to the GPU"):
            self._gpu.copy_to(self._controls.data_ptr(), self.controls.buffer)
        self._copy_hypotheses()

    def copy_columns(self, from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
        """Copy columns [start, end) of all caches, before the next step."""
        self._copies.append((from_hypothesis, to_hypothesis, start, end))

    def _copy_hypotheses(self) -> None:
        if not self._copies:
            return
        binding = self._graphs.binding(GraphName.COPY_CACHES)
        names = ("from_hypothesis", "to_hypothesis", "column")
        for name, indices in zip(names, _column_by_column(self._copies), strict=True):
            binding.bind_cpu_input(name, indices)
        for spec in self._graphs.session.manifest.caches:
            value = self.pools[spec.name]
            for bind, name in ((binding.bind_input, spec.name), (binding.bind_output, f"{spec.name}_out")):
                bind(name, *_DEVICE, np.dtype(spec.dtype), value.shape(), value.data_ptr())
        self._graphs.run(GraphName.COPY_CACHES, binding, waits=False)
        self._copies.clear()

    def wait(self) -> None:
        """Until all that was asked so far is done: what ONNX Runtime copies itself does not wait for it."""
        with device_errors("waiting for the GPU"):
            self._gpu.wait()

    def clear_row(self, row: int) -> None:
        """Zero a row of the pools, by way of main memory, which is slow, and rare."""
        self.wait()
        for name, spec in self._pool_specs.items():
            num_entries = self._shape.num_per_row(spec)
            with device_errors(f"clearing {name} on the GPU"):
                array = self.pools[name].numpy().copy()
                array[row * num_entries : (row + 1) * num_entries] = 0
                self.pools[name].update_inplace(array)


class CudaScores:
    """Steps whose graphs are captured once for each number of rows and then replayed.

    A binding is captured with all its outputs, so all but attention is computed in every step; only what is
    requested is copied to main memory.
    """

    def __init__(
        self, graphs: GraphRunner, shape: LaneShape, storage: CudaStorage, bindings: Bindings
    ) -> None:
        self._graphs, self._shape, self._storage, self._bindings = graphs, shape, storage, bindings
        attention = graphs.session.manifest.graphs.get(GraphName.ATTENTION)
        self._attention = frozenset(spec.name for spec in attention.outputs) if attention else frozenset()
        self._replays: dict[tuple[str, int], int] = {}  # of what was captured

    def step(self, rows: int, requested: Outputs) -> StepOutputs:
        """Run one decoder step and score every token, see `LaneTensors.step`."""
        bucket = self._shape.bucket(rows)
        self._storage.prepare_step()
        attention = [GraphName.ATTENTION] if requested & self._attention else []
        for graph in (GraphName.DECODER_STEP, *attention, GraphName.LOG_PROBS, GraphName.CANDIDATES):
            self._run(graph, bucket)
        read = self._storage.read
        best = self._storage.read_best(rows)
        greedy = Best(best.token[:, 0, 0], best.score[:, 0, 0]) if self._shape.width == 1 else None
        log_probs = read("log_probs", rows) if GraphName.LOG_PROBS in requested else None
        return StepOutputs(greedy, best, log_probs, {name: read(name, rows) for name in requested - SCORES})

    def close(self) -> None:
        """Release what was captured, in the thread that did it; no step may follow."""
        for (graph, _), replay in self._replays.items():
            self._graphs.release(graph, replay)
        self._replays.clear()

    def _run(self, graph: str, rows: int) -> None:
        """Run a graph; states, which capturing it has moved on several times, go on from where they were.

        Source: microsoft/onnxruntime issue 32243, that a first run computes more than once.
        """
        replay = self._replays.get((graph, rows))
        if replay is not None:
            self._replay(graph, rows, replay)
            return
        states = self._graphs.session.manifest.states if graph == GraphName.DECODER_STEP else ()
        pools, replay = self._storage.pools, self._graphs.new_replay()
        with device_errors("keeping states on the GPU"):
            before = {spec.name: _on_device(pools[spec.name].numpy()) for spec in states}
        self._replay(graph, rows, replay)
        if before:
            self._storage.wait()
            with device_errors("bringing states back on the GPU"):
                for name, state in before.items():
                    pools[name].update_inplace(state)
            self._replay(graph, rows, replay)
        self._replays[graph, rows] = replay  # only now: of a run that failed nothing is known

    def _replay(self, graph: str, rows: int, replay: int) -> None:
        self._graphs.run(graph, self._bindings.get(graph, rows), replay, waits=False)


def _on_device(array: Array) -> Any:
    with device_errors(f"a place for {array.nbytes:,} bytes on the GPU"):
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, *_DEVICE)


def _column_by_column(copies: Sequence[tuple[int, int, int, int]]) -> tuple[Indices, Indices, Indices]:
    """Copies of columns [start, end) as copies of one column each: from and to which hypothesis, and which.

    >>> [indices.tolist() for indices in _column_by_column([(5, 4, 7, 9), (0, 1, 2, 3)])]
    [[5, 5, 0], [4, 4, 1], [7, 8, 2]]
    """
    source, target, start, end = np.array(copies, np.int64).T
    count = end - start
    first = np.cumsum(count) - count  # where each copy's columns begin among all
    column = np.arange(count.sum()) - np.repeat(first - start, count)
    return np.repeat(source, count), np.repeat(target, count), column
