"""A runner's part of the jobs, as its queue counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.engine.scheduler import MAX_ENCODE_TOKENS, Scheduler
from server.engine.sequence import SequenceRequest
from server.work.fair_order import Priority

Has = Callable[[SequenceRequest], bool]


def _one_of_each() -> dict[Priority, Scheduler]:
    return {priority: Scheduler() for priority in Priority}


@dataclass(eq=False)
class Portion:
    """What a runner has, and may have; only the queue changes it.

    Args:
        num_slots: That the runner has.
        num_taken: Jobs that are the runner's: claimed, or handed out and not yet released.
        num_bulk: Of these the bulk jobs.
        num_handed_out: Jobs that were handed out and not yet released.
        claimed: Its share of what waits, from which it is handed as much at a time as one encoder run bears.
        cancelled: Ids of jobs it holds that nobody waits for any more, and that it has not been told of.
    """

    num_slots: int
    num_taken: int = 0
    num_bulk: int = 0
    num_handed_out: int = 0
    claimed: dict[Priority, Scheduler] = field(default_factory=_one_of_each)
    cancelled: list[int] = field(default_factory=list)
    was_bulk_passed: bool = False  # bulk was claimed, and the last handout had none

    @property
    def num_without_room(self) -> int:
        """Claimed jobs that had no room in the last handout: they keep no slot from others."""
        return sum(claimed.num_without_room for claimed in self.claimed.values())

    def hand_out(self, reserve: Has, has_lane: Has = lambda _: True) -> list[SequenceRequest]:
        """Take from what is claimed as much as one encoder run bears; bulk first if it was passed over.

        A lane that is full has room when the next of it ends, whoever else joins. One for which there is no
        memory opens when others have ended: once too many have joined before one that waits for it, nobody
        does, of whichever priority.

        Args:
            reserve: Keeps room for a request, or says that there is none.
            has_lane: Whether the lane that a request needs is open.
        """

        def is_shut_out(request: SequenceRequest | None) -> bool:
            return request is not None and not has_lane(request)

        bulk = self.claimed[Priority.BULK]
        num_bulk = len(bulk)
        requests: list[SequenceRequest] = []
        passed: list[Scheduler] = []
        for claimed in sorted(self._in_turn(), key=lambda claimed: not is_shut_out(claimed.blocked)):
            num_tokens = sum(len(request.source) for request in requests)
            if num_tokens < MAX_ENCODE_TOKENS:
                num_free = self.num_slots - self.num_handed_out
                taken = claimed.take(num_free, reserve, MAX_ENCODE_TOKENS - num_tokens)
                self.num_handed_out += len(taken)
                requests += taken
                if not taken:
                    passed.append(claimed)
                if is_shut_out(claimed.blocked):
                    break
        if requests:
            for claimed in passed:
                claimed.count_passes(is_shut_out)
        self.was_bulk_passed = bool(requests) and len(bulk) == num_bulk > 0
        return requests

    def _in_turn(self) -> list[Scheduler]:
        """What is claimed of each priority, bulk last unless it was passed over."""
        bulk = self.claimed[Priority.BULK]
        return sorted(
            self.claimed.values(), key=lambda claimed: (claimed is bulk) is not self.was_bulk_passed
        )

    def return_bulk(self) -> SequenceRequest | None:
        """Give back the last bulk job that is claimed and not handed out; None if there is none."""
        request = self.claimed[Priority.BULK].last
        if request is not None:
            self.release(request.sequence_id, Priority.BULK)
        return request

    def claim(self, request: SequenceRequest, priority: Priority) -> None:
        """Give the runner a job that waits."""
        self.claimed[priority].add(request)
        self._count(priority, 1)

    def release(self, sequence_id: int, priority: Priority) -> None:
        """Take a job that the runner holds from it."""
        if not self.claimed[priority].remove(sequence_id):
            self.num_handed_out -= 1
        self._count(priority, -1)

    def _count(self, priority: Priority, sign: int) -> None:
        self.num_taken += sign
        self.num_bulk += sign * (priority is Priority.BULK)
