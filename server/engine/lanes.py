"""The lanes of an engine, within a budget of memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from server.engine.graph_runner import GraphRunner
from server.engine.lane import Lane, LaneKey, lane_shape
from server.engine.sequence import SequenceRequest
from server.engine.source_lengths import capacity_for


class Lanes(Mapping[LaneKey, Lane]):
    """The open lanes by key; one opens with the first request that needs it.

    Args:
        graphs: Of the engine.
        num_slots: Of the engine.
        max_bytes: Most memory of all lanes together; a lane that nobody is in makes room for another. None
            for no limit.
    """

    def __init__(self, graphs: GraphRunner, num_slots: int, max_bytes: int | None) -> None:
        self._graphs, self._num_slots, self.max_bytes = graphs, num_slots, max_bytes
        self._lanes: dict[LaneKey, Lane] = {}

    def __getitem__(self, key: LaneKey) -> Lane:
        return self._lanes[key]

    def __iter__(self) -> Iterator[LaneKey]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def running(self) -> list[Lane]:
        """The lanes that somebody is in, in the order in which they opened."""
        return [lane for lane in self._lanes.values() if lane.num_running]

    @property
    def num_running(self) -> int:
        """Sequences in all lanes."""
        return sum(lane.num_running for lane in self._lanes.values())

    @property
    def num_bytes(self) -> int:
        """Memory that the lanes take."""
        return sum(lane.num_bytes for lane in self._lanes.values())

    def key_for(self, request: SequenceRequest) -> LaneKey:
        """The lane that a request needs; on a GPU one capacity serves all lengths."""
        session = self._graphs.session
        num_tokens = len(request.source) if session.can_move_rows else session.manifest.max_source_tokens
        return LaneKey(width=request.method.width, capacity=capacity_for(session.manifest, num_tokens))

    def has_lane(self, request: SequenceRequest) -> bool:
        """Whether the lane that a request needs is open."""
        return self.key_for(request) in self._lanes

    def reserve(self, request: SequenceRequest) -> bool:
        """Keep a row for a request until its lane encodes it; a lane opens for it where there is room.

        Returns:
            False if no row is free in its lane, or there is no memory for its lane: nothing has changed then.
        """
        key = self.key_for(request)
        if key not in self._lanes and not self._open(key):
            return False
        return self._lanes[key].reserve()

    def warm_up(self, width: int) -> None:
        """Open the lane of the longest sources of a width, where there is memory, and warm it up.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        manifest = self._graphs.session.manifest
        key = LaneKey(width=width, capacity=capacity_for(manifest, manifest.max_source_tokens))
        if key in self._lanes or self._open(key):
            self._lanes[key].warm_up()

    def _open(self, key: LaneKey) -> bool:
        """Open a lane, in place of unused ones as far as it needs their memory; False if it needs more."""
        session = self._graphs.session
        manifest = session.manifest
        shape = lane_shape(manifest, key, self._num_slots)
        needed = shape.num_bytes(manifest, with_outputs=not session.can_move_rows)
        unused = [other for other, lane in self._lanes.items() if lane.is_unused]
        if not self._has_room(needed - sum(self._lanes[other].num_bytes for other in unused)):
            return False
        while not self._has_room(needed):
            self._lanes.pop(unused.pop()).close()
        self._lanes[key] = Lane(self._graphs, key, self._num_slots)
        return True

    def _has_room(self, num_bytes: int) -> bool:
        return self.max_bytes is None or self.num_bytes + num_bytes <= self.max_bytes

    def remove(self, sequence_id: int) -> bool:
        """Let a running sequence leave unfinished; False if it is in no lane."""
        return any(lane.remove(sequence_id) for lane in self._lanes.values())

    def clear(self) -> None:
        """Close all lanes, whoever is in them."""
        lanes = list(self._lanes.values())
        self._lanes.clear()
        for lane in lanes:
            lane.close()

    def check(self) -> None:
        """Invariants, for tests: one owner for each row."""
        for lane in self._lanes.values():
            lane.check()
