"""The work that a model has been given and has not done, by client; and what a new call must wait for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from server.errors import Overloaded
from server.work.fair_order import Flow, Priority
from server.work.job import Job
from server.work.pace import Pace

# What may be promised of the time that is left: others come, and some texts grow longer than expected. With
# 0.8 nearly all that is admitted is in time; with 1.0 one call of thirty is late (docs/reliability.md).
_PROMISED_SHARE = 0.8


class Backlog:
    """Predicts when a call would be done, and refuses one that would be late.

    Args:
        pace: Of the model's runners.
        num_slots: Of all runners; a slot runs up to 4 hypotheses.
    """

    def __init__(self, pace: Pace, num_slots: int) -> None:
        self._pace, self._num_slots = pace, num_slots
        self._work: dict[Priority, defaultdict[str, float]] = {p: defaultdict(float) for p in Priority}
        self._num_hypotheses = 0

    @property
    def num_hypotheses(self) -> int:
        """Of all jobs that are not done."""
        return self._num_hypotheses

    def add(self, flow: Flow, work: float, width: int) -> None:
        """Count a job that was submitted."""
        self._work[flow.priority][flow.client] += work
        self._num_hypotheses += width

    def remove(self, flow: Flow, work: float, width: int) -> None:
        """Forget a job that is over."""
        clients = self._work[flow.priority]
        clients[flow.client] -= work
        if clients[flow.client] < 1:  # no job is less; the rest is a rounding
            del clients[flow.client]
        self._num_hypotheses -= width

    def require_in_time(self, jobs: Sequence[Job], flow: Flow, now: float) -> None:
        """Refuse a call that would not be done before its deadline; on an idle model nothing is refused.

        Raises:
            Overloaded: it would be late; says when there will be room.
        """
        deadlines = [job.deadline for job in jobs if job.deadline is not None]
        if not deadlines or not self._num_hypotheses:
            return
        seconds = self._seconds_until_done(jobs, flow)
        left = min(deadlines) - now
        if seconds is not None and seconds > _PROMISED_SHARE * left:
            raise Overloaded(seconds, left, seconds - _PROMISED_SHARE * left)

    def _seconds_until_done(self, jobs: Sequence[Job], flow: Flow) -> float | None:
        """Until all that comes first and the call are done, and no less than its longest text takes."""
        pace = self._pace
        expected = [(job.options, len(job.source)) for job in jobs]
        work = sum(pace.work(options, length) for options, length in expected)
        num_hypotheses = self._num_hypotheses + sum(options.method.width for options, _ in expected)
        num_running = min(num_hypotheses, self._num_slots)
        until_turn = pace.seconds(self._work_before(flow, work), num_running)
        step = pace.step_seconds(num_running)
        if until_turn is None or step is None:
            return None
        longest = max(pace.expected_tokens(options, length) for options, length in expected)
        return max(until_turn, longest * step)

    def _work_before(self, flow: Flow, work: float) -> float:
        """What is done until a client's work is: of others as much as they have, up to their share.

        In its class that is as much as of the client, of the other class what the weights say.
        """
        clients = self._work[flow.priority]
        own = clients.get(flow.client, 0.0) + work
        total = own + sum(min(other, own) for client, other in clients.items() if client != flow.client)
        for priority, others in self._work.items():
            if priority is not flow.priority:
                total += min(sum(others.values()), total * priority.value / flow.priority.value)
        return total
