"""A text to translate, from its submission until its future is done."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from server.engine.sequence import Hypothesis, SequenceRequest
from server.work.fair_order import Flow, Priority
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
        client: Who asks; clients share a model.
        priority: What the call asks for; one of much work is bulk in any case.
        call: A number below 0 of the call, where that hands its jobs over time and again; None where all of
            them come together.
    """

    source: tuple[int, ...]
    options: SearchOptions
    deadline: float | None = None
    client: str = ""
    priority: Priority = Priority.INTERACTIVE
    call: int | None = None

    def request(self, sequence_id: int) -> SequenceRequest:
        """What the engine is asked for."""
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
    """A submitted job until its future is done.

    Args:
        flow: What it counts as.
        work: Hypothesis tokens that it is expected to take.
    """

    job: Job
    future: JobFuture
    flow: Flow
    work: float

    @property
    def times(self) -> JobTimes:
        """How far it has got."""
        return self.future.times
