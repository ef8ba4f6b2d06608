"""Jobs of a call to the model and their outcomes back; of a long document only a part at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from server.engine.sequence import Hypothesis
from server.errors import DeadlineExceeded, Draining
from server.work.job import Job, JobTimes
from server.work.loop_waker import LoopWaker
from server.work.worker import Worker

Outcome = tuple[Hypothesis, ...] | BaseException
# A call has no more of the queue than it has texts, or than such a part of it, 1 / 4: one with a book in it
# would otherwise leave no room to others until it is done.
_QUEUE_SHARE = 4


class _Followed(Protocol):
    def follow(self, times: list[JobTimes]) -> None: ...


async def run_jobs(
    worker: Worker, waker: LoopWaker, jobs: Sequence[Job], record: _Followed, *, num_texts: int
) -> list[Outcome]:
    """What became of each job; a call that is cancelled cancels them.

    Raises:
        QueueFull, Overloaded, Draining: the model takes none of them.
        DeadlineExceeded, Draining: the call ended before they did.
    """
    num_together = max(num_texts, worker.max_queue // _QUEUE_SHARE)
    outcomes: list[Outcome] = []
    times: list[JobTimes] = []
    for first in range(0, len(jobs), num_together):
        last = first + num_together
        submitted = worker.submit(jobs[first:last], later=() if first else jobs[last:], is_begun=first > 0)
        times += [future.times for _, future in submitted]
        record.follow(times)
        try:
            await waker.all_done([future for _, future in submitted])
        except asyncio.CancelledError:
            worker.cancel([sequence_id for sequence_id, _ in submitted])
            raise
        outcomes += [future.exception() or future.result() for _, future in submitted]
        for outcome in outcomes[first:]:
            if isinstance(outcome, (DeadlineExceeded, Draining)):
                raise outcome
    return outcomes
