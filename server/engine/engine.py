"""Continuous batching: sequences join, advance one token a step, and leave, all independently.

Pure: one thread steps it, and it knows neither clock nor network.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from server.engine.graph_runner import GraphRunner
from server.engine.lane import Lane, LaneKey
from server.engine.lanes import Lanes
from server.engine.sequence import Failed, Finished, SequenceRequest
from server.engine.session import ModelSession
from server.engine.source_lengths import encoder_batches


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one phase of a step did.

    Args:
        num_sequences: Encoded, or advanced by one token.
        num_hypotheses: Advanced by one token.
        padding_ratio: Share of the computed tokens (encode) or rows (decode_step) that was padding.
        joined: Sequences that took a slot.
        results: Sequences that left.
    """

    num_sequences: int
    padding_ratio: float
    num_hypotheses: int = 0
    joined: tuple[int, ...] = ()
    results: tuple[Finished | Failed, ...] = ()


class Engine:
    """Translates token ids with one model.

    Who joins next is decided elsewhere: whoever drives an engine has a `Scheduler`, reserves room for each
    request that it takes from there, and then admits all of them.

    Args:
        session: The model; whenever it is run its `turn` is held.
        num_slots: Most sequences that run at once, over all lanes.
        max_pool_bytes: Most memory that lanes take; a lane that nobody is in makes room for another, and a
            sequence waits for room. None for no limit.
    """

    def __init__(self, session: ModelSession, num_slots: int, max_pool_bytes: int | None = None) -> None:
        self._graphs = GraphRunner(session)
        self._turn = session.turn
        self._lanes = Lanes(self._graphs, num_slots, max_pool_bytes)
        self.num_slots, self.max_pool_bytes = num_slots, max_pool_bytes

    def set_exclusive(self, is_exclusive: bool) -> None:  # noqa: FBT001 - what it sets
        """Say whether nobody else needs the processors: steps may then take more of them."""
        self._graphs.set_exclusive(is_exclusive)

    @property
    def num_running(self) -> int:
        """Slots in use."""
        return self._lanes.num_running

    @property
    def num_free(self) -> int:
        """Slots that are not in use."""
        return self.num_slots - self.num_running

    def cancel(self, sequence_id: int) -> bool:
        """Drop a running sequence; its slot is free at once. False if it does not run."""
        return self._lanes.remove(sequence_id)

    def has_lane(self, request: SequenceRequest) -> bool:
        """Whether the lane that a request needs is open, be it full or not."""
        return self._lanes.has_lane(request)

    def reserve(self, request: SequenceRequest) -> bool:
        """Keep room for a request until `admit` is called with it; False if no lane has room for it now."""
        # The queue waits for this with its lock held: it takes its turn only for what may use the device.
        with nullcontext() if self.has_lane(request) else self._turn:
            return self._lanes.reserve(request)

    def admit(self, requests: Sequence[SequenceRequest]) -> StepReport | None:
        """Encode requests into their rows; None if there are none.

        Args:
            requests: For each of them `reserve` was True, and there are no more than `num_free`.
        """
        if not requests:
            return None
        with self._turn:
            return self._admit(requests)

    def _admit(self, requests: Sequence[SequenceRequest]) -> StepReport:
        by_lane: dict[LaneKey, list[SequenceRequest]] = {}
        for request in requests:
            by_lane.setdefault(self._lanes.key_for(request), []).append(request)
        joined: list[int] = []
        failed: list[Finished | Failed] = []
        num_computed = 0
        for key, group in by_lane.items():
            for size, batch in encoder_batches(self._graphs.session.manifest, group):
                num_computed += size * len(batch)
                try:
                    self._lanes[key].encode(batch, size)
                    joined += [request.sequence_id for request in batch]
                except Exception as error:  # noqa: BLE001 - whatever it is, other batches go on
                    is_shared = len(batch) > 1
                    failed += [
                        Failed(sequence_id=r.sequence_id, error=error, is_shared=is_shared) for r in batch
                    ]
        num_tokens = sum(len(request.source) for request in requests)
        return StepReport(
            num_sequences=len(requests),
            padding_ratio=1 - num_tokens / num_computed,
            joined=tuple(joined),
            results=tuple(failed),
        )

    def decode_step(self) -> StepReport | None:
        """Advance every running sequence by one token; None if none runs."""
        lanes = self._lanes.running()
        if not lanes:
            return None
        with self._turn:
            return self._decode_step(lanes)

    def _decode_step(self, lanes: Sequence[Lane]) -> StepReport:
        num_sequences = sum(lane.num_running for lane in lanes)
        num_hypotheses = sum(lane.num_running * lane.key.width for lane in lanes)
        num_rows = sum(lane.num_rows_in_use for lane in lanes)
        results = [result for lane in lanes for result in lane.step()]
        if self._graphs.session.can_move_rows:
            for lane in lanes:
                lane.compact()
        return StepReport(
            num_sequences=num_sequences,
            num_hypotheses=num_hypotheses,
            padding_ratio=1 - num_sequences / num_rows,
            results=tuple(results),
        )

    def warm_up(self, width: int) -> None:
        """Run a step of each number of rows that a GPU captures, of some width; nothing may run.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        with self._turn:
            self._lanes.warm_up(width)

    def clear(self) -> None:
        """Forget all sequences and close all lanes, after an exception that left them in an unknown state."""
        with self._turn:
            self._lanes.clear()

    def check(self) -> None:
        """Invariants, for tests: no more running than slots, one owner for each row."""
        assert self.num_running <= self.num_slots, "more sequences than slots"
        self._lanes.check()
