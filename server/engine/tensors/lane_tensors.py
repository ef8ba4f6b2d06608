"""The tensors of a lane, which a model's graphs read and write in place: in main memory or on a GPU.

What there is to bind, the manifest says; no model's architecture is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from export.contract.manifest import (
    ATTENTION,
    CANDIDATES,
    DECODER_STEP,
    ENCODER,
    LOG_PROBS,
    Manifest,
    TensorInfo,
)
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Array, Best, Continuation, StepOutputs
from server.engine.tensors.controls import Controls

# Bindings are kept for each number of rows and set of outputs; what requests choose must not pile up.
MAX_BINDINGS = 512

Outputs = frozenset[str]


@dataclass(frozen=True, kw_only=True)
class LaneShape:
    """How large a lane's tensors are.

    Args:
        rows: Sequences.
        width: W, hypotheses of each.
        source_capacity: C, source positions of a row.
        columns: M, target steps of a row.
    """

    rows: int
    width: int
    source_capacity: int
    columns: int

    def of(self, spec: TensorInfo) -> tuple[int, ...]:
        """A tensor's shape."""
        sizes = {
            "rows": self.rows,
            "beam": self.width,
            "hypotheses": self.rows * self.width,
            "2*beam": 2 * self.width,
            "columns": self.columns,
            "source_capacity": self.source_capacity,
        }
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)

    def num_bytes(self, manifest: Manifest) -> int:
        """What its pools take."""
        pools = (*manifest.caches, *manifest.states, *manifest.memory)
        return sum(prod(self.of(spec)) * np.dtype(spec.dtype).itemsize for spec in pools)


class LaneTensors:
    """Everything a lane's graphs read and write, in fixed places in main memory.

    Caches, states and memory are pools. Those that a graph writes are bound as input and output at once, so a
    step copies nothing.
    """

    step_graph: ClassVar[str] = DECODER_STEP
    result: ClassVar[str] = "logits"  # of the step, what every row needs

    def __init__(self, graphs: GraphRunner, shape: LaneShape) -> None:
        self._graphs, self._shape = graphs, shape
        manifest = graphs.session.manifest
        self.controls = Controls(shape.rows, shape.width, manifest.special_ids.start)
        step = manifest.graphs[self.step_graph]
        names = (self.step_graph, ATTENTION, LOG_PROBS, CANDIDATES)
        infos = [manifest.graphs[name] for name in names if name in manifest.graphs]
        self._output_specs = {spec.name: spec for info in infos for spec in info.outputs}
        attention = manifest.graphs.get(ATTENTION)
        self._attention = _names(attention.outputs) if attention else frozenset()
        self._queries = _names(attention.inputs) & _names(step.outputs) if attention else frozenset()
        self._pool_specs = {s.name: s for s in (*manifest.caches, *manifest.states, *manifest.memory)}
        self._pools: dict[str, Any] = {}
        self._stacks = [self._new_stack(specs) for specs in _alike(manifest.caches)]
        self._pools |= {spec.name: self._new_pool(spec) for spec in (*manifest.states, *manifest.memory)}
        # Of each row, how many leading columns of the caches two hypotheses have in common; lists are faster.
        self._num_shared = [self._nothing_shared()] * shape.rows
        self._outputs: dict[str, Array] = {}
        self._rows = np.arange(shape.rows)
        self._bindings: dict[tuple[str, int, Outputs, bool], Any] = {}

    def _new_stack(self, specs: Sequence[TensorInfo]) -> Array:
        """Caches of one shape in one array: copying a column of all of them is then one operation."""
        stack = np.zeros((len(specs), *self._shape.of(specs[0])), specs[0].dtype)
        self._pools |= {spec.name: pool for spec, pool in zip(specs, stack, strict=True)}
        return np.moveaxis(stack, 1 + specs[0].shape.index("columns"), 2)

    def _new_pool(self, spec: TensorInfo) -> Any:
        return np.zeros(self._shape.of(spec), spec.dtype)

    def encode(self, source: Array, source_length: Array, slot: Array) -> None:
        """Encode sources (b, s) into rows `slot` of the memory pools."""
        binding = self._binding(ENCODER, self._shape.rows)
        for name, array in (("source", source), ("source_length", source_length), ("slot", slot)):
            binding.bind_cpu_input(name, array)
        self._graphs.run(ENCODER, binding)

    def step(self, rows: int, asked: Outputs = frozenset()) -> StepOutputs:
        """One decoder step over rows [0, rows).

        Args:
            asked: What to compute and fetch besides the best next tokens, see `Search.extra_outputs`; what is
                not asked for costs nothing.

        Returns:
            Views that hold until the next step.
        """
        extra = self._run_step(rows, asked)
        if not asked:
            return StepOutputs(self._greedy(rows, None))
        if asked & {LOG_PROBS, CANDIDATES}:
            self._graphs.run(LOG_PROBS, self._binding(LOG_PROBS, rows))
        candidates = None
        if CANDIDATES in asked:
            self._graphs.run(CANDIDATES, self._binding(CANDIDATES, rows))
            candidates = Best(self._read("best_token", rows), self._read("best_log_probs", rows))
        log_probs = self._read("log_probs", rows) if LOG_PROBS in asked else None
        return StepOutputs(self._greedy(rows, log_probs), candidates, log_probs, extra)

    def _run_step(self, rows: int, asked: Outputs) -> dict[str, Array]:
        """Run the step, and attention if it is asked for; gives what a search asks for besides scores."""
        if not asked:
            self._graphs.run(self.step_graph, self._binding(self.step_graph, rows))
            return {}
        extra = asked - {LOG_PROBS, CANDIDATES}
        of_step = extra
        if attention := extra & self._attention:
            of_step = (extra - attention) | self._queries
        self._graphs.run(self.step_graph, self._binding(self.step_graph, rows, of_step))
        if attention:
            self._graphs.run(ATTENTION, self._binding(ATTENTION, rows, attention))
        return {name: self._read(name, rows) for name in extra}

    def _greedy(self, rows: int, log_probs: Array | None) -> Best | None:
        if self._shape.width > 1:
            return None
        logits = self._read("logits", rows)[:, 0]  # (R, V)
        best = logits.argmax(axis=-1)  # 10 times as fast as ArgMax in the graph
        scores = logits if log_probs is None else log_probs[:, 0]
        return Best(best, scores[self._rows[:rows], best])

    def _binding(self, graph: str, rows: int, extra: Outputs = frozenset()) -> Any:
        key = (graph, rows, extra, self._graphs.is_exclusive)  # a binding is of one session
        if key not in self._bindings:
            if len(self._bindings) >= MAX_BINDINGS:
                self._bindings.clear()
            self._bindings[key] = self._new_binding(graph, rows, extra)
        return self._bindings[key]

    def _new_binding(self, graph: str, rows: int, extra: Outputs) -> Any:
        """What a graph reads are controls, pools, and outputs of other graphs."""
        binding = self._graphs.binding(graph)
        info = self._graphs.session.manifest.graphs[graph]
        for spec in info.inputs:
            if graph != ENCODER or spec.name in self._pools:  # `encode` binds what is new
                self._bind(binding.bind_input, spec.name, rows)
        given = self._given(graph, extra)
        for spec in info.outputs:
            if spec.name in given or spec.name.removesuffix("_out") in self._pools:
                self._bind(binding.bind_output, spec.name, rows)
        return binding

    def _given(self, graph: str, extra: Outputs) -> Outputs:
        """The outputs of a graph that somebody reads."""
        if graph == self.step_graph:
            return extra | {self.result}
        return extra or _names(self._graphs.session.manifest.graphs[graph].outputs)

    def _bind(self, bind: Callable[..., None], name: str, rows: int) -> None:
        """Bind a control, a pool, as input or output, or an output, by its name in a graph."""
        pool = name.removesuffix("_out")
        if pool in self._pools:
            is_of_hypotheses = self._pool_specs[pool].shape[0] == "hypotheses"
            bind_array(bind, name, self._pools[pool][: rows * (self._shape.width if is_of_hypotheses else 1)])
        else:
            control = self.controls.arrays.get(name)
            bind_array(bind, name, (self._output(name) if control is None else control)[:rows])

    def _output(self, name: str) -> Array:
        if name not in self._outputs:
            spec = self._output_specs[name]
            self._outputs[name] = np.empty(self._shape.of(spec), spec.dtype)
        return self._outputs[name]

    def _read(self, name: str, rows: int) -> Any:
        return self._outputs[name][:rows]

    def reset(self, row: int, source_length: int = 1) -> None:
        """Step 0 of a sequence, or what a free row holds."""
        self._num_shared[row] = self._nothing_shared()
        self.controls.reset(row, source_length)

    def free(self, row: int) -> None:
        """A sequence has left."""
        self.reset(row)

    def _nothing_shared(self) -> list[list[int]]:
        return [[0] * self._shape.width for _ in range(self._shape.width)]

    def advance(self, continuations: Mapping[int, Continuation]) -> None:
        """Reorder rows' hypotheses for their next step."""
        if self._shape.width > 1 and self._graphs.session.manifest.caches:
            for row, continuation in continuations.items():
                self._inherit(row, continuation.parents)
        self.controls.advance(continuations)

    def _inherit(self, row: int, parents: list[int]) -> None:
        """Give each hypothesis its parent's columns, as far as it has others."""
        moved = [(parent, own) for own, parent in enumerate(parents) if parent != own]
        if not moved:
            return
        shared, end = self._num_shared[row], int(self.controls.position[row]) + 1
        first = row * self._shape.width
        for parent, own in moved:
            self._copy_columns(first + parent, first + own, shared[parent][own], end)
        self._num_shared[row] = [[end if a == b else shared[a][b] for b in parents] for a in parents]

    def _copy_columns(self, from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
        for stack in self._stacks:
            stack[:, to_hypothesis, start:end] = stack[:, from_hypothesis, start:end]

    def move_row(self, row: int, other_row: int) -> None:
        """Copy a row's tensors, as far as they are in use, over another row's."""
        width, end = self._shape.width, int(self.controls.position[row])
        for own in range(width):
            self._copy_columns(row * width + own, other_row * width + own, 0, end)
        used = int(self.controls.source_length[row])
        for spec in (*self._graphs.session.manifest.states, *self._graphs.session.manifest.memory):
            place = tuple(slice(used if axis == "source_capacity" else None) for axis in spec.shape[1:])
            self._pools[spec.name][(other_row, *place)] = self._pools[spec.name][(row, *place)]
        self._num_shared[other_row] = self._num_shared[row]
        self.controls.copy_row(row, other_row)

    def clear_row(self, row: int) -> None:
        """Zero a row of the pools, after a score that is no number."""
        width = self._shape.width
        for stack in self._stacks:
            stack[:, row * width : (row + 1) * width] = 0
        for spec in (*self._graphs.session.manifest.states, *self._graphs.session.manifest.memory):
            self._pools[spec.name][row] = 0


def _names(specs: Iterable[TensorInfo]) -> Outputs:
    return frozenset(spec.name for spec in specs)


def _alike(specs: Iterable[TensorInfo]) -> list[list[TensorInfo]]:
    """Specs of one shape and type together."""
    groups: dict[tuple[object, ...], list[TensorInfo]] = {}
    for spec in specs:
        groups.setdefault((spec.shape, spec.dtype), []).append(spec)
    return list(groups.values())


def bind_array(bind: Callable[..., None], name: str, array: Array) -> None:
    """Bind an array in place; it must outlive the binding."""
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
