"""Continuous batching: sequences join, advance one token a step, and leave, all independently.

Pure: one thread steps it, and it knows neither clock nor network.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.engine.lane import Lane, LaneKey, capacity_for, padded_source_size
from server.engine.scheduler import Scheduler
from server.engine.sequence import Failed, Finished, InferenceError, SequenceRequest
from server.engine.session import ModelSession


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
    """

    def __init__(self, session: ModelSession, num_slots: int) -> None:
        self._session = session
        self._scheduler = Scheduler()
        self._lanes: dict[LaneKey, Lane] = {}
        self.num_slots = num_slots

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
        num_retired = sum(lane.num_retired for lane in self._lanes.values())
        requests = self._scheduler.take(self.num_slots - self.num_running - num_retired)
        if not requests:
            return None
        groups: dict[tuple[LaneKey, int], list[SequenceRequest]] = {}
        for request in requests:
            size = padded_source_size(len(request.source))
            groups.setdefault((self._first_lane(request), size), []).append(request)
        joined: list[int] = []
        failed: list[Finished | Failed] = []
        for (key, _), group in groups.items():
            try:
                self._lane(key).encode(group)
                joined += [request.sequence_id for request in group]
            except InferenceError as error:
                failed += [Failed(sequence_id=r.sequence_id, error=error) for r in group]
        computed = sum(size * len(group) for (_, size), group in groups.items())
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
                self._promote(lane)
                lane.compact()
        return StepReport(
            num_sequences=num_sequences,
            padding_ratio=1 - num_sequences / num_rows,
            results=tuple(results),
        )

    def _promote(self, lane: Lane) -> None:
        for row in lane.full_rows():
            key = LaneKey(width=lane.key.width, capacity=2 * lane.key.capacity)
            lane.promote(row, self._lane(key))

    def _first_lane(self, request: SequenceRequest) -> LaneKey:
        longest = len(request.source)
        if not self._session.can_move_rows:
            limits = self._session.manifest
            longest = max(limits.max_source_tokens, limits.max_target_tokens)
        return LaneKey(width=request.method.width, capacity=capacity_for(longest))

    def _lane(self, key: LaneKey) -> Lane:
        if key not in self._lanes:
            self._lanes[key] = Lane(self._session, key, self.num_slots)
        return self._lanes[key]

    def check(self) -> None:
        """Invariants, for tests: no more running than slots, one owner for each row."""
        assert self.num_running <= self.num_slots, "more sequences than slots"
        for lane in self._lanes.values():
            lane.check()
