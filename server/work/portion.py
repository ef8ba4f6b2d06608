"""A runner's part of the jobs, as its queue counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.engine.scheduler import MAX_ENCODE_TOKENS, Scheduler
from server.engine.sequence import SequenceRequest
from server.work.fair_order import Priority


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

    def hand_out(self, reserve: Callable[[SequenceRequest], bool]) -> list[SequenceRequest]:
        """Take from what is claimed as much as one encoder run bears; bulk first if it was passed over.

        A lane for which there is no memory while others run opens when they have ended: once too many have
        joined before one that waits for it, nobody does, of whichever priority.
        """
        bulk = self.claimed[Priority.BULK]
        num_bulk = len(bulk)
        requests: list[SequenceRequest] = []
        passed: list[Scheduler] = []
        for claimed in self._in_turn():
            num_tokens = sum(len(request.source) for request in requests)
            if num_tokens < MAX_ENCODE_TOKENS:
                num_free = self.num_slots - self.num_handed_out
                taken = claimed.take(num_free, reserve, MAX_ENCODE_TOKENS - num_tokens)
                self.num_handed_out += len(taken)
                requests += taken
                if not taken:
                    passed.append(claimed)
                if claimed.is_blocked:
                    break
        if requests:
            for claimed in passed:
                claimed.count_passes()
        self.was_bulk_passed = bool(requests) and len(bulk) == num_bulk > 0
        return requests

    def _in_turn(self) -> list[Scheduler]:
        """The priorities' claimed jobs, those first that nobody may pass."""
        bulk = self.claimed[Priority.BULK]
        return sorted(
            self.claimed.values(),
            key=lambda claimed: (not claimed.is_blocked, (claimed is bulk) is not self.was_bulk_passed),
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
