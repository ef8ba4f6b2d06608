"""A lane: the sequences of one width and source capacity that advance together, each in a row of its own.

What a row's result depends on is its lane's shape and its own content, never how many others are
there: that is why a translation does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from export.contract.graph_names import GraphName
from export.contract.manifest import Manifest
from server.engine.graph_runner import GraphRunner
from server.engine.searches.methods import new_search
from server.engine.searches.search import Continuation, Search
from server.engine.sequence import Failed, Finished, SequenceRequest
from server.engine.source_lengths import capacity_for
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.lane_tensors import new_lane_tensors

# Of beams of more than 4 fewer sequences run at once: what they take is bounded.
HYPOTHESES_PER_SLOT = 4


@dataclass(frozen=True, kw_only=True)
class LaneKey:
    """What the rows of a lane have in common.

    Args:
        width: W, the hypotheses of each; whatever their method, sequences of one width share a lane.
        capacity: Source positions that a row holds.
    """

    width: int
    capacity: int


def rows_of(width: int, num_slots: int) -> int:
    """Rows of a lane: one for each slot, fewer where beams are wide, but two if there are two slots.

    >>> [rows_of(width, num_slots=96) for width in (1, 4, 16)]
    [96, 96, 24]
    """
    return min(num_slots, max(2, -(-HYPOTHESES_PER_SLOT * num_slots // width)))


def min_rows(manifest: Manifest, width: int) -> int:
    """Fewest rows that a step computes, for the sake of a row's last bit.

    ONNX Runtime multiplies a single row of floats by another kernel, which sums in another order.
    """
    return 1 if width > 1 or manifest.multiplies_integers else 2


def lane_shape(manifest: Manifest, key: LaneKey, num_slots: int) -> LaneShape:
    """The shape of a lane's tensors: each row holds the longest target there may be, and one token more.

    Contrastive search runs the last one's candidates. Attention over a source wants room for as many
    positions as there are hypotheses.
    """
    return LaneShape(
        rows=max(rows_of(key.width, num_slots), min_rows(manifest, key.width)),
        width=key.width,
        source_capacity=max(key.capacity, key.width),
        columns=manifest.max_target_tokens + 1,
    )


def largest_lane_bytes(
    manifest: Manifest, num_slots: int, max_width: int, *, with_outputs: bool = False
) -> int:
    """Bytes of the largest lane that a request may need: that of the longest sources, of any width.

    Args:
        with_outputs: See `LaneShape.num_bytes`.
    """
    capacity = capacity_for(manifest, manifest.max_source_tokens)
    keys = [LaneKey(width=width, capacity=capacity) for width in range(1, max_width + 1)]
    shapes = (lane_shape(manifest, key, num_slots) for key in keys)
    return max(shape.num_bytes(manifest, with_outputs=with_outputs) for shape in shapes)


@dataclass
class Running:
    """A sequence in a row."""

    request: SequenceRequest
    search: Search

    def finished(self) -> Finished:
        """The result of a search that is over."""
        hypotheses = tuple(ending.hypothesis for ending in self.search.endings())
        return Finished(sequence_id=self.request.sequence_id, hypotheses=hypotheses)


class Lane:
    """Rows of one shape, those in use first as far as possible.

    Args:
        graphs: Of the engine.
        key: The shape of a row.
        num_slots: Of the engine.
    """

    def __init__(self, graphs: GraphRunner, key: LaneKey, num_slots: int) -> None:
        manifest = graphs.session.manifest
        self._special_ids = manifest.special_ids
        self.key = key
        shape = lane_shape(manifest, key, num_slots)
        self._min_rows = min_rows(manifest, key.width)
        self.num_bytes = shape.num_bytes(manifest, with_outputs=not graphs.session.can_move_rows)
        self._buckets = shape.buckets(self._min_rows)
        attention = manifest.graphs.get(GraphName.ATTENTION)
        self._attention = frozenset(spec.name for spec in attention.outputs) if attention else frozenset()
        self._tensors = new_lane_tensors(graphs, shape)
        self._running: list[Running | None] = [None] * rows_of(key.width, num_slots)
        self._num_reserved = 0  # rows kept for sequences that have not joined yet
        self.num_running = 0  # sequences in it
        self.num_rows_in_use = 0  # rows up to the last one in use: what a step computes
        self._extra_outputs: frozenset[str] | None = frozenset()  # None: to be gathered again

    @property
    def num_free(self) -> int:
        """Sequences that can still join."""
        return len(self._running) - self.num_running - self._num_reserved

    @property
    def is_unused(self) -> bool:
        """Whether nobody is in it, and no row is reserved."""
        return not self.num_running and not self._num_reserved

    def reserve(self) -> bool:
        """Keep a free row for a sequence that `encode` will be called with; False if there is none."""
        if not self.num_free:
            return False
        self._num_reserved += 1
        return True

    def encode(self, requests: Sequence[SequenceRequest], size: int) -> None:
        """Encode sources, padded to `size` tokens, and let them join at the rows reserved for them.

        Raises:
            Exception: of ONNX Runtime or whatever else; then none has joined, and the rows are free.
        """
        self._num_reserved -= len(requests)
        rows = self._free_rows(len(requests))
        searches = {
            row: new_search(request, self._special_ids.end)
            for row, request in zip(rows, requests, strict=True)
        }
        source = np.full((len(requests), size), self._special_ids.padding, np.int64)
        for i, request in enumerate(requests):
            source[i, : len(request.source)] = request.source
        source_length = np.array([len(request.source) for request in requests], np.int64)
        forced = {row: r.constraints.prefix for row, r in zip(rows, requests, strict=True) if r.constraints}
        self._tensors.encode(source, source_length, np.array(rows, np.int64), forced)
        for row, request in zip(rows, requests, strict=True):
            self._tensors.reset(row, len(request.source))
            self._put(row, Running(request, searches[row]))

    def _free_rows(self, count: int) -> list[int]:
        free = (row for row, r in enumerate(self._running) if r is None)
        return list(islice(free, count))

    def _put(self, row: int, running: Running | None) -> None:
        self.num_running += (running is not None) - (self._running[row] is not None)
        self._running[row] = running
        self.num_rows_in_use = max(self.num_rows_in_use, row + 1)
        while self.num_rows_in_use and self._running[self.num_rows_in_use - 1] is None:
            self.num_rows_in_use -= 1
        self._extra_outputs = None

    def _needed_outputs(self) -> frozenset[str]:
        """What the searches here read besides the best next tokens; it changes only with who is here."""
        if self._extra_outputs is None:
            self._extra_outputs = frozenset().union(*(r.search.extra_outputs for r in self._running if r))
        return self._extra_outputs

    def step(self) -> list[Finished | Failed]:
        """Advance every sequence by one token; those that are done leave."""
        rows = max(self.num_rows_in_use, self._min_rows)
        try:
            outputs = self._tensors.step(rows, self._needed_outputs())
        except Exception as error:  # noqa: BLE001 - whatever it is, other lanes go on
            return self._fail_all(error)
        results: list[Finished | Failed] = []
        continuations: dict[int, Continuation] = {}
        for row, running in enumerate(self._running[: self.num_rows_in_use]):
            if running is None:
                continue
            try:
                continuation = running.search.advance(outputs, row)
                finished = running.finished() if continuation is None else None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this sequence's alone
                results.append(Failed(sequence_id=running.request.sequence_id, error=error))
                self._drop_poisoned(row)
                continue
            if finished is not None:
                results.append(finished)
                self._leave(row)
            elif continuation is not None:
                continuations[row] = continuation
        try:
            self._tensors.advance(continuations)
        except Exception as error:  # noqa: BLE001 - nobody is known to be at fault
            results += self._fail_all(error)
        return results

    def warm_up(self) -> None:
        """Run a step of each number of rows that a GPU captures, while nobody is here.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        assert self.is_unused, "a step would advance those who are here"
        for rows in self._buckets:
            self._tensors.step(rows, self._attention)

    def close(self) -> None:
        """Release what its device holds of it besides its tensors; it takes nobody any more."""
        self._tensors.close()

    def _leave(self, row: int) -> None:
        self._put(row, None)
        self._tensors.free(row)

    def _drop_poisoned(self, row: int) -> None:
        self._leave(row)
        self._tensors.clear_row(row)

    def _fail_all(self, error: Exception) -> list[Finished | Failed]:
        failed: list[Finished | Failed] = []
        is_shared = self.num_running > 1
        for row, running in enumerate(self._running):
            if running is not None:
                sequence_id = running.request.sequence_id
                failed.append(Failed(sequence_id=sequence_id, error=error, is_shared=is_shared))
                self._drop_poisoned(row)
        return failed

    def remove(self, sequence_id: int) -> bool:
        """Let a sequence leave unfinished; False if it is not here."""
        for row, running in enumerate(self._running):
            if running is not None and running.request.sequence_id == sequence_id:
                self._leave(row)
                return True
        return False

    def compact(self) -> None:
        """Fill holes from the end, once they pass a quarter of the rows in use."""
        while self.num_rows_in_use - self.num_running > self.num_rows_in_use // 4:
            last, hole = self.num_rows_in_use - 1, self._free_rows(1)[0]
            self._tensors.move_row(last, hole)
            self._put(hole, self._running[last])
            self._leave(last)

    def check(self) -> None:
        """Invariants: free rows are reset, no sequence stands in two rows."""
        ids = [running.request.sequence_id for running in self._running if running]
        assert len(ids) == len(set(ids)) == self.num_running, "a sequence owns two rows"
        for row, running in enumerate(self._running):
            assert running or self._tensors.controls.position[row] == 0, "a free row is not reset"
