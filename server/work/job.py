"""A text to translate, from its submission until its future is done."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from server.engine.sequence import AttentionChoice, Hypothesis, Method, SequenceRequest


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
    """One source to translate and how, see `SequenceRequest`.

    Args:
        deadline: On the monotonic clock, in seconds; None for none.
    """

    source: tuple[int, ...]
    method: Method
    length_penalty: float
    max_target_tokens: int
    attention: AttentionChoice | None = None
    with_scores: bool = True
    deadline: float | None = None

    def request(self, sequence_id: int) -> SequenceRequest:
        """What the engine is asked for."""
        return SequenceRequest(
            sequence_id=sequence_id,
            source=self.source,
            method=self.method,
            length_penalty=self.length_penalty,
            max_target_tokens=self.max_target_tokens,
            attention=self.attention,
            with_scores=self.with_scores,
        )

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
