"""Continuous batching: sequences join, advance one token a step, and leave, all independently.

Pure: one thread steps it, and it knows neither clock nor network.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from server.engine.lane import Lane, LaneKey, lane_shape
from server.engine.scheduler import Scheduler
from server.engine.sequence import Failed, Finished, InferenceError, SequenceRequest
from server.engine.session import ModelSession
from server.engine.source_lengths import capacity_for, encoder_batches


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one phase of a step did.

    Args:
        num_sequences: Encoded, or advanced by one token.
        padding_ratio: Share of the computed tokens (encode) or rows (decode_step) that was padding.
        joined: Sequences that took a slot.
        results: Sequences that left.
    """

    num_sequences: int
    padding_ratio: float
    joined: tuple[int, ...] = ()
    results: tuple[Finished | Failed, ...] = ()


class Engine:
    """Translates token ids with one model.

    Args:
        session: The model.
        num_slots: Most sequences that run at once, over all lanes.
        max_pool_bytes: Most memory that lanes take; a lane that nobody is in makes room for another, and a
            sequence waits for room. None for no limit.
    """

    def __init__(self, session: ModelSession, num_slots: int, max_pool_bytes: int | None = None) -> None:
        self._session = session.for_engine()
        self._max_pool_bytes = max_pool_bytes
        self._scheduler = Scheduler()
        self._lanes: dict[LaneKey, Lane] = {}
        self.num_slots = num_slots

    def set_lone(self, is_lone: bool) -> None:  # noqa: FBT001 - what it sets
        """Say whether nobody else needs the processors: its steps may then take more of them."""
        self._session.is_lone = is_lone

    @property
    def num_waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._scheduler)

    @property
    def num_waiting_tokens(self) -> int:
        """Their source tokens."""
        return self._scheduler.num_tokens

    @property
    def num_running(self) -> int:
        """Slots in use."""
        return sum(lane.num_running for lane in self._lanes.values())

    def submit(self, request: SequenceRequest) -> None:
        """Queue a request; it joins in a later `admit`."""
        self._scheduler.add(request)

    def cancel(self, sequence_id: int) -> bool:
        """Drop a sequence, waiting or running; its slot is free at once. False if there is none."""
        return self._scheduler.remove(sequence_id) or any(
            lane.remove(sequence_id) for lane in self._lanes.values()
        )

    def admit(self) -> StepReport | None:
        """Encode the next waiting sequences into free slots; None if none can join."""
        if not self.num_waiting:
            return None
        wanted: Counter[LaneKey] = Counter()
        requests = self._scheduler.take(
            self.num_slots - self.num_running,
            lambda request: self._has_lane(self._lane_for(request), wanted),
        )
        if not requests:
            return None
        by_lane: dict[LaneKey, list[SequenceRequest]] = {}
        for request in requests:
            by_lane.setdefault(self._lane_for(request), []).append(request)
        joined: list[int] = []
        failed: list[Finished | Failed] = []
        computed = 0
        for key, group in by_lane.items():
            for size, batch in encoder_batches(self._session.manifest, group):
                computed += size * len(batch)
                try:
                    self._lanes[key].encode(batch, size)
                    joined += [request.sequence_id for request in batch]
                except InferenceError as error:
                    failed += [Failed(sequence_id=r.sequence_id, error=error) for r in batch]
        used = sum(len(request.source) for request in requests)
        return StepReport(
            num_sequences=len(requests),
            padding_ratio=1 - used / computed,
            joined=tuple(joined),
            results=tuple(failed),
        )

    def decode_step(self) -> StepReport | None:
        """Advance every running sequence by one token; None if none runs."""
        lanes = [lane for lane in self._lanes.values() if lane.num_running]
        if not lanes:
            return None
        num_sequences = sum(lane.num_running for lane in lanes)
        num_rows = sum(lane.num_rows_in_use for lane in lanes)
        results = [result for lane in lanes for result in lane.step()]
        if self._session.can_move_rows:
            for lane in lanes:
                lane.compact()
        return StepReport(
            num_sequences=num_sequences,
            padding_ratio=1 - num_sequences / num_rows,
            results=tuple(results),
        )

    def _lane_for(self, request: SequenceRequest) -> LaneKey:
        manifest = self._session.manifest
        longest = len(request.source) if self._session.can_move_rows else manifest.max_source_tokens
        return LaneKey(width=request.method.width, capacity=capacity_for(manifest, longest))

    def _has_lane(self, key: LaneKey, wanted: Counter[LaneKey]) -> bool:
        """Whether one more may join a lane; it opens where there is room, or in place of an empty one."""
        if key not in self._lanes:
            needed = lane_shape(self._session.manifest, key, self.num_slots).num_bytes(self._session.manifest)
            idle = [k for k, lane in self._lanes.items() if not lane.num_running and k not in wanted]
            while idle and not self._has_room(needed):
                del self._lanes[idle.pop()]
            if not self._has_room(needed):
                return False
            self._lanes[key] = Lane(self._session, key, self.num_slots)
        wanted[key] += 1
        return wanted[key] <= self._lanes[key].num_free

    def _has_room(self, num_bytes: int) -> bool:
        taken = sum(lane.num_bytes for lane in self._lanes.values())
        return self._max_pool_bytes is None or taken + num_bytes <= self._max_pool_bytes

    def check(self) -> None:
        """Invariants, for tests: no more running than slots, one owner for each row."""
        assert self.num_running <= self.num_slots, "more sequences than slots"
        for lane in self._lanes.values():
            lane.check()
