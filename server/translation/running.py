"""Jobs of a call to the model and their outcomes back; of a long document only a part at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from server.engine.sequence import Hypothesis
from server.errors import DeadlineExceeded, Draining, QueueFull
from server.work.job import Job, JobFuture, JobTimes
from server.work.loop_waker import LoopWaker
from server.work.worker import Worker

T = TypeVar("T")
Outcome = tuple[Hypothesis, ...] | BaseException
# A call has no more of the queue than it has texts, or than such a part of it, 1 / 4: one with a book in it
# would otherwise leave no room to others until it is done.
_QUEUE_SHARE = 4
# A call that goes on has so many parts under way at most, and each of them such a part of that share.
_MOST_PARTS = 16


_ROOM_SECONDS = 0.05  # between two looks whether the queue has room for a further part


class _Followed(Protocol):
    def follow(self, times: list[JobTimes]) -> None: ...


async def all_or_none(
    parts: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, side_by_side: bool
) -> list[T]:
    """Do the parts of a call, side by side or one after the other; where one fails there are no others.

    Raises:
        Exception: what the first of those that failed raised.
    """
    if not side_by_side:
        return [await part() for part in parts]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part()) for part in parts]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def parts_at_once(max_queue: int) -> int:
    """How many parts of a call that goes on may be under way.

    >>> [parts_at_once(max_queue) for max_queue in (1, 20, 4096)]
    [1, 5, 16]
    """
    return min(_MOST_PARTS, max(1, max_queue // _QUEUE_SHARE))


async def run_jobs(
    worker: Worker,
    waker: LoopWaker,
    jobs: Sequence[Job],
    record: _Followed,
    *,
    num_texts: int,
    times: list[JobTimes],
) -> list[Outcome]:
    """What became of each job; a call that is cancelled cancels them.

    Args:
        times: Of all jobs of the call; those of these are added.

    Raises:
        QueueFull, Overloaded, Draining: the model takes none of them.
        DeadlineExceeded, Draining: the call ended before they did.
    """
    is_part = bool(jobs) and jobs[0].call is not None
    num_together = max(num_texts, worker.max_queue // _QUEUE_SHARE)
    if is_part:
        num_together = max(1, worker.max_queue // _QUEUE_SHARE // _MOST_PARTS)
    outcomes: list[Outcome] = []
    for first in range(0, len(jobs), num_together):
        last = first + num_together
        others = [*jobs[:first], *jobs[last:]]
        submitted = await _submitted(worker, jobs[first:last], others, is_begun=is_part or first > 0)
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


async def _submitted(
    worker: Worker, jobs: Sequence[Job], others: Sequence[Job], *, is_begun: bool
) -> list[tuple[int, JobFuture]]:
    """A part of a call in the queue; one of a call that has begun waits until there is room for it.

    Raises:
        QueueFull, Overloaded, Draining: the model does not take it.
        DeadlineExceeded: the deadline passed before there was room.
    """
    while True:
        try:
            return worker.submit(jobs, later=others, is_begun=is_begun)
        except QueueFull:
            if not is_begun:
                raise
        deadline = jobs[0].deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded(was_queued=False)
        await asyncio.sleep(_ROOM_SECONDS)
