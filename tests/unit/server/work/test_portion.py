"""What a runner is handed of both priorities where its engine has no memory for all their lanes at once."""

from __future__ import annotations

import itertools

import pytest

from server.engine.scheduler import MAX_PASSES
from server.engine.sequence import Beam, SequenceRequest
from server.work.fair_order import Priority
from server.work.portion import Portion

NUM_SLOTS = 8
NUM_STEPS = 3  # that each request runs


class SmallPools:
    """An engine with memory for lanes of some widths at a time; a lane closes when nobody is in it.

    Args:
        num_rows: Of each lane.
    """

    def __init__(self, max_lanes: int = 1, num_rows: int = NUM_SLOTS) -> None:
        self._max_lanes, self._num_rows = max_lanes, num_rows
        self.running: dict[int, tuple[int, int]] = {}  # by id: width, steps to go

    def _widths(self) -> list[int]:
        return [width for width, _ in self.running.values()]

    def has_lane(self, request: SequenceRequest) -> bool:
        return request.method.width in self._widths()

    def reserve(self, request: SequenceRequest) -> bool:
        widths = self._widths()
        if len({*widths, request.method.width}) > self._max_lanes:
            return False
        if widths.count(request.method.width) == self._num_rows:
            return False
        self.running[request.sequence_id] = (request.method.width, NUM_STEPS)
        return True

    def step(self) -> list[int]:
        """The ids of those that leave."""
        self.running = {i: (width, steps - 1) for i, (width, steps) in self.running.items()}
        over = [i for i, (_, steps) in self.running.items() if not steps]
        for sequence_id in over:
            del self.running[sequence_id]
        return over


_ids = itertools.count()


def claim(portion: Portion, priority: Priority, width: int) -> int:
    request = SequenceRequest(
        sequence_id=next(_ids),
        source=(4, 3),
        method=Beam(beam_size=width),
        length_penalty=1.0,
        max_target_tokens=9,
    )
    portion.claim(request, priority)
    return request.sequence_id


@pytest.mark.parametrize("crowd", list(Priority), ids=lambda priority: f"beside {priority.name}")
def test_a_lane_that_the_other_priority_keeps_closed_opens_in_the_end(crowd: Priority) -> None:
    (single,) = set(Priority) - {crowd}
    portion, engine = Portion(NUM_SLOTS), SmallPools()

    def round_of_steps() -> set[int]:
        while len(portion.claimed[crowd]) < 3:  # there is always more of the crowd
            claim(portion, crowd, width=1)
        taken = {request.sequence_id for request in portion.hand_out(engine.reserve, engine.has_lane)}
        for sequence_id in engine.step():
            portion.release(sequence_id, single if sequence_id in singles else crowd)
        return taken

    singles: set[int] = set()
    for _ in range(4):
        round_of_steps()
    for width in (4, 2):  # one after the other, and neither of them with the crowd
        singles.add(claim(portion, single, width))
    waited_for = set(singles)
    for _ in range(2 * (MAX_PASSES + NUM_STEPS) + 8):
        waited_for -= round_of_steps()
    assert not waited_for
    assert round_of_steps() or round_of_steps(), "the crowd goes on"


@pytest.mark.parametrize("crowd", list(Priority), ids=lambda priority: f"beside {priority.name}")
def test_a_lane_that_is_full_holds_up_nobody_of_the_other_priority(crowd: Priority) -> None:
    """A row of it is free when somebody leaves, whoever joins other lanes meanwhile."""
    (single,) = set(Priority) - {crowd}
    portion, engine = Portion(NUM_SLOTS), SmallPools(max_lanes=2, num_rows=2)
    wide = {claim(portion, single, width=4) for _ in range(3)}
    assert {request.sequence_id for request in portion.hand_out(engine.reserve)} < wide
    for _ in range(3 * MAX_PASSES):
        joined = claim(portion, crowd, width=1)
        (request,) = portion.hand_out(engine.reserve, engine.has_lane)
        assert request.sequence_id == joined
        del engine.running[joined]  # only these end
        portion.release(joined, crowd)
