"""The work that a model has been given and has not done, by client; and what a new call must wait for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from server.engine.lane import HYPOTHESES_PER_SLOT
from server.errors import Overloaded
from server.work.client_weights import NO_WEIGHTS, Weights
from server.work.fair_order import Flow, Priority
from server.work.job import Job
from server.work.pace import Pace

# What may be promised of the time that is left: others come, and some texts grow longer than expected. With
# more, goodput is a little higher, and more of what was admitted is late (docs/reliability.md).
_PROMISED_SHARE = 0.7


def slots_of(width: int, num_slots: int) -> int:
    """Slots that a request of so many hypotheses takes: one for every 4, of a runner that has no more all.

    >>> [slots_of(width, num_slots=3) for width in (1, 4, 5, 16)]
    [1, 1, 2, 3]
    """
    return min(-(-width // HYPOTHESES_PER_SLOT), num_slots)


class Backlog:
    """Predicts when a call would be done, and refuses one that would be late.

    Args:
        pace: Of the model's runners.
        num_slots: Of each runner; a slot runs up to 4 hypotheses.
        weights: Shares of clients; 1 of any that is not there.
    """

    def __init__(self, pace: Pace, num_slots: Sequence[int], weights: Weights = NO_WEIGHTS) -> None:
        self._weights = weights
        self._pace, self._num_slots, self._most_slots = pace, sum(num_slots), max(num_slots)
        self._work: dict[Priority, defaultdict[str, float]] = {p: defaultdict(float) for p in Priority}
        self.num_hypotheses = 0  # of all jobs that are not done
        self._num_slots_needed = 0  # for all of them at once

    def add(self, flow: Flow, work: float, width: int) -> None:
        """Count a job that was submitted."""
        self._work[flow.priority][flow.client] += work
        self.num_hypotheses += width
        self._num_slots_needed += slots_of(width, self._most_slots)

    def remove(self, flow: Flow, work: float, width: int) -> None:
        """Forget a job that is over."""
        clients = self._work[flow.priority]
        clients[flow.client] -= work
        if clients[flow.client] < 1:  # no job is less; the rest is a rounding
            del clients[flow.client]
        self.num_hypotheses -= width
        self._num_slots_needed -= slots_of(width, self._most_slots)

    def require_in_time(self, jobs: Sequence[Job], flow: Flow, now: float) -> None:
        """Refuse a call that would not be done before its deadline; on an idle model nothing is refused.

        Raises:
            Overloaded: it would be late; says when there will be room.
        """
        deadlines = [job.deadline for job in jobs if job.deadline is not None]
        if not deadlines or not self.num_hypotheses:
            return
        seconds = self._seconds_until_done(jobs, flow)
        left = min(deadlines) - now
        if seconds is not None and seconds > _PROMISED_SHARE * left > 0:  # what is late already ends as such
            raise Overloaded(seconds, left, seconds - _PROMISED_SHARE * left)

    def _seconds_until_done(self, jobs: Sequence[Job], flow: Flow) -> float | None:
        """Until all that comes first and the call are done, and no less than its longest text takes."""
        pace = self._pace
        expected = [(job.options, len(job.source)) for job in jobs]
        work = sum(pace.work(options, length) for options, length in expected)
        num_running = self._num_running([options.method.width for options, _ in expected])
        until_turn = pace.seconds(self._work_before(flow, work), num_running)
        step = pace.step_seconds(num_running)
        if until_turn is None or step is None:
            return None
        longest = max(pace.expected_tokens(options, length) for options, length in expected)
        return max(until_turn, longest * step)

    def _num_running(self, widths: Sequence[int]) -> int:
        """Hypotheses that run side by side once a call's are among them, as far as there are slots."""
        num_hypotheses = self.num_hypotheses + sum(widths)
        num_slots_needed = self._num_slots_needed + sum(slots_of(width, self._most_slots) for width in widths)
        num_running = num_hypotheses * min(self._num_slots, num_slots_needed) // num_slots_needed
        return max(num_running, *widths)

    def _work_before(self, flow: Flow, work: float) -> float:
        """What is done until a client's work is: of others as much as they have, up to their share.

        Both of other clients of its class and of the other class that is what the weights say.
        """
        clients = self._work[flow.priority]
        total = client_work = clients.get(flow.client, 0.0) + work
        turns = client_work / self._weights.get(flow.client, 1.0)
        for client, other in clients.items():
            if client != flow.client:
                total += min(other, turns * self._weights.get(client, 1.0))
        for priority, others in self._work.items():
            if priority is not flow.priority:
                total += min(sum(others.values()), total * priority.value / flow.priority.value)
        return total
