"""A lane: the sequences of one beam size and one capacity that advance together, each in a row of its own.

What a row's result depends on is its lane's shape and its own content, never how many others are
there: that is why a translation does not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from server.engine.search import BeamSearch, Continuation
from server.engine.sequence import Failed, Finished, InferenceError, SequenceRequest
from server.engine.session import ModelSession
from server.engine.tensors import new_lane_tensors

SMALLEST_CAPACITY = 32
SOURCE_MULTIPLE = 8
# ONNX Runtime multiplies a matrix of one row by another kernel, which sums in another order.
MIN_ROWS = 2


def capacity_for(num_tokens: int) -> int:
    """The capacity of the lane for so many tokens: 32, 64, 128, ..."""
    return max(SMALLEST_CAPACITY, 1 << math.ceil(math.log2(num_tokens)))


def padded_source_size(num_tokens: int) -> int:
    """The length at which a source is encoded: its own, rounded up, whoever is encoded with it."""
    return -(-num_tokens // SOURCE_MULTIPLE) * SOURCE_MULTIPLE


@dataclass(frozen=True, kw_only=True)
class LaneKey:
    """What the rows of a lane have in common.

    Args:
        beam_size: W.
        capacity: Source positions and target steps that a row holds.
    """

    beam_size: int
    capacity: int


@dataclass
class Running:
    """A sequence in a row."""

    request: SequenceRequest
    search: BeamSearch


class Lane:
    """Rows of one shape, those in use first as far as possible.

    Args:
        session: The model.
        key: The shape of a row.
        num_rows: How many sequences it can hold.
    """

    def __init__(self, session: ModelSession, key: LaneKey, num_rows: int) -> None:
        self._session = session
        self.key = key
        self._tensors = new_lane_tensors(session, max(num_rows, MIN_ROWS), key.beam_size, key.capacity)
        self._running: list[Running | None] = [None] * num_rows
        self._retired: set[int] = set()
        for row in range(max(num_rows, MIN_ROWS)):
            self._reset(row, source_length=1)

    @property
    def num_running(self) -> int:
        """Sequences in it."""
        return sum(running is not None for running in self._running)

    @property
    def num_rows_in_use(self) -> int:
        """Rows up to the last one in use: what a step computes."""
        return max((row + 1 for row, running in enumerate(self._running) if running), default=0)

    @property
    def num_retired(self) -> int:
        """Rows given up after a score that was no number."""
        return len(self._retired)

    def encode(self, requests: Sequence[SequenceRequest]) -> None:
        """Encode sources of one padded size and let them join at free rows.

        Raises:
            InferenceError: then none has joined.
        """
        rows = self._free_rows(len(requests))
        size = padded_source_size(max(len(request.source) for request in requests))
        source = np.full((len(requests), size), self._session.manifest.special_ids.padding, np.int64)
        for i, request in enumerate(requests):
            source[i, : len(request.source)] = request.source
        source_length = np.array([len(request.source) for request in requests], np.int64)
        self._tensors.encode(source, source_length, np.array(rows, np.int64))
        end_id = self._session.manifest.special_ids.end
        for row, request in zip(rows, requests, strict=True):
            self._reset(row, len(request.source))
            self._running[row] = Running(request, BeamSearch(request, end_id))

    def _free_rows(self, count: int) -> list[int]:
        free = (row for row, r in enumerate(self._running) if r is None and row not in self._retired)
        return list(islice(free, count))

    def _reset(self, row: int, source_length: int) -> None:
        """Step 0 of a sequence; also what a free row holds, so that it computes harmless numbers."""
        tensors = self._tensors
        tensors.token[row] = self._session.manifest.special_ids.start
        tensors.position[row] = 0
        tensors.source_length[row] = source_length
        tensors.is_ancestor[row] = False
        self._mark_own_columns(row)

    def _mark_own_columns(self, row: int) -> None:
        hypotheses = np.arange(self.key.beam_size)
        first = int(self._tensors.position[row]) * self.key.beam_size
        self._tensors.is_ancestor[row, hypotheses, first + hypotheses] = True

    def step(self) -> list[Finished | Failed]:
        """Advance every sequence by one token; those that are done leave."""
        rows = max(self.num_rows_in_use, MIN_ROWS)
        try:
            log_probs, tokens = self._tensors.step(rows)
        except InferenceError as error:
            return self._fail_all(error)
        results: list[Finished | Failed] = []
        for row, running in enumerate(self._running):
            if running is None:
                continue
            try:
                continuation = running.search.advance(log_probs[row], tokens[row])
            except InferenceError as error:
                results.append(Failed(sequence_id=running.request.sequence_id, error=error))
                self._drop_poisoned(row)
                continue
            if continuation is None:
                results.append(
                    Finished(sequence_id=running.request.sequence_id, hypotheses=running.search.hypotheses())
                )
                self._leave(row)
            else:
                self._continue(row, continuation)
        return results

    def _continue(self, row: int, continuation: Continuation) -> None:
        tensors = self._tensors
        tensors.token[row] = continuation.tokens
        tensors.position[row] += 1
        if self.key.beam_size > 1:
            tensors.is_ancestor[row] = tensors.is_ancestor[row][continuation.parents]
            if tensors.position[row] < self.key.capacity:
                self._mark_own_columns(row)

    def _leave(self, row: int) -> None:
        self._running[row] = None
        self._reset(row, source_length=1)

    def _drop_poisoned(self, row: int) -> None:
        self._leave(row)
        if not self._tensors.clear_row(row):
            self._retired.add(row)

    def _fail_all(self, error: InferenceError) -> list[Finished | Failed]:
        failed: list[Finished | Failed] = []
        for row, running in enumerate(self._running):
            if running is not None:
                failed.append(Failed(sequence_id=running.request.sequence_id, error=error))
                self._drop_poisoned(row)
        return failed

    def remove(self, sequence_id: int) -> bool:
        """Let a sequence leave unfinished; False if it is not here."""
        for row, running in enumerate(self._running):
            if running is not None and running.request.sequence_id == sequence_id:
                self._leave(row)
                return True
        return False

    def full_rows(self) -> list[int]:
        """Rows whose next step does not fit any more."""
        position = self._tensors.position
        return [row for row, r in enumerate(self._running) if r and position[row] >= self.key.capacity]

    def promote(self, row: int, larger: Lane) -> None:
        """Move a row to a lane of larger capacity."""
        target = larger._free_rows(1)[0]
        self._move(row, larger, target)
        larger._mark_own_columns(target)

    def compact(self) -> None:
        """Fill holes from the end, once they pass a quarter of the rows in use."""
        while self.num_rows_in_use - self.num_running > self.num_rows_in_use // 4:
            self._move(self.num_rows_in_use - 1, self, self._free_rows(1)[0])

    def _move(self, row: int, other: Lane, other_row: int) -> None:
        self._tensors.move_row(row, other._tensors, other_row)
        other._running[other_row] = self._running[row]
        self._leave(row)

    def check(self) -> None:
        """Invariants: free rows are reset, no sequence stands in two rows."""
        ids = [running.request.sequence_id for running in self._running if running]
        assert len(ids) == len(set(ids)), "a sequence owns two rows"
        for row, running in enumerate(self._running):
            assert running or self._tensors.position[row] == 0, "a free row is not reset"
