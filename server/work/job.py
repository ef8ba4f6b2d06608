"""A text that waits for its translation, and the queue that all runners of a model take from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from server.engine.sequence import Hypothesis, SequenceRequest
from server.work.options import SearchOptions


@dataclass(slots=True)
class JobTimes:
    """When a job got how far, on the monotonic clock; None where it did not get yet.

    Args:
        queued: It was submitted.
        joined: It left the queue for the encoder.
        encoded: It took its slot.
        finished: It ended, however it did.
    """

    queued: float
    joined: float | None = None
    encoded: float | None = None
    finished: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One source to translate and how.

    Args:
        source: Token ids, special ones included.
        deadline: On the monotonic clock, in seconds; None for none.
    """

    source: tuple[int, ...]
    options: SearchOptions
    deadline: float | None = None

    def request(self, sequence_id: int) -> SequenceRequest:
        """For the engine."""
        return self.options.request(sequence_id, self.source)

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline <= now


class JobFuture(Future[tuple[Hypothesis, ...]]):
    """A job's hypotheses, best first, and the times at which it got how far: only its runner writes them."""

    def __init__(self, queued: float) -> None:
        super().__init__()
        self.times = JobTimes(queued)
        # Nobody but a runner ends it: a caller who gives up calls `Worker.cancel`.
        self.set_running_or_notify_cancel()


@dataclass(frozen=True)
class Live:
    """A submitted job until its future is done."""

    job: Job
    future: JobFuture

    @property
    def times(self) -> JobTimes:
        """How far it has got."""
        return self.future.times


class JobQueue:
    """What a model's runners share; `changed` guards all of it and wakes them.

    num_waiting counts the jobs that have no slot yet, those that a runner has already taken included;
    num_taken those that some runner has taken and not ended; num_runners are those that have not failed.
    """

    def __init__(self, num_runners: int) -> None:
        self.num_runners = num_runners
        self.changed = threading.Condition()
        self.waiting: OrderedDict[int, Live] = OrderedDict()
        self.num_waiting = 0
        self.num_waiting_tokens = 0
        self.num_taken = 0
        self.is_draining = False
        self.is_stopped = False

    def add(self, sequence_id: int, live: Live) -> None:
        """Queue a job; call it with `changed` held, as `leave`."""
        self.waiting[sequence_id] = live
        self.num_waiting += 1
        self.num_waiting_tokens += len(live.job.source)

    def abandon(self) -> list[Live]:
        """Forget all that no runner has taken; the caller, who holds `changed`, must end them."""
        left = list(self.waiting.values())
        self.waiting.clear()
        return left

    def leave(self, live: Live) -> None:
        """A job has got its slot, or ended without one."""
        self.num_waiting -= 1
        self.num_waiting_tokens -= len(live.job.source)
