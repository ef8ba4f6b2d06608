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
    """An engine with memory for the lane of one width at a time; a lane closes when nobody is in it."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[int, int]] = {}  # by id: width, steps to go

    def reserve(self, request: SequenceRequest) -> bool:
        if any(width != request.method.width for width, _ in self.running.values()):
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


@pytest.mark.parametrize("crowd", list(Priority), ids=lambda priority: f"beside {priority.name}")
def test_a_lane_that_the_other_priority_keeps_closed_opens_in_the_end(crowd: Priority) -> None:
    (single,) = set(Priority) - {crowd}
    portion, engine, ids = Portion(NUM_SLOTS), SmallPools(), itertools.count()

    def claim(priority: Priority, width: int) -> int:
        request = SequenceRequest(
            sequence_id=next(ids),
            source=(4, 3),
            method=Beam(beam_size=width),
            length_penalty=1.0,
            max_target_tokens=9,
        )
        portion.claim(request, priority)
        return request.sequence_id

    def round_of_steps() -> set[int]:
        while len(portion.claimed[crowd]) < 3:  # there is always more of the crowd
            claim(crowd, width=1)
        taken = {request.sequence_id for request in portion.hand_out(engine.reserve)}
        for sequence_id in engine.step():
            portion.release(sequence_id, single if sequence_id in singles else crowd)
        return taken

    singles: set[int] = set()
    for _ in range(4):
        round_of_steps()
    for width in (4, 2):  # one after the other, and neither of them with the crowd
        singles.add(claim(single, width))
    waited_for = set(singles)
    for _ in range(2 * (MAX_PASSES + NUM_STEPS) + 8):
        waited_for -= round_of_steps()
    assert not waited_for
    assert round_of_steps() or round_of_steps(), "the crowd goes on"
