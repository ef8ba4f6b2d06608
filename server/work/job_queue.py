"""The jobs that wait for a model's runners, and the rule by which each runner gets its part of them."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from server.engine.sequence import SequenceRequest
from server.errors import Draining, QueueFull
from server.work.backlog import Backlog
from server.work.busy_runners import BusyRunners
from server.work.client_weights import Weights
from server.work.fair_order import FairOrder, Flow, Priority
from server.work.job import Job, JobFuture, Live
from server.work.pace import Pace
from server.work.portion import Has, Portion

# Under load newcomers join when such a part of the slots is free, 1 / 8: the encoder is faster with many
# sources at once (docs/benchmarks.md, "What mattered").
_JOIN_SHARE = 8
# A call of more than so many expected hypothesis tokens, some 60 sentences by a beam of 4, is bulk.
BULK_WORK = 4096
# Hypothesis tokens that a source token is worth: what the encoder takes for it.
_SOURCE_WORK = 0.25
# While calls that are not bulk come, bulk takes such a part of the slots, 1 / 3: a step takes less time then.
_BULK_SHARE = 3
_INTERACTIVE_SECONDS = 2.0  # they come, if the last one came no longer ago


@dataclass(frozen=True, slots=True)
class Handout:
    """What a runner is told before a round.

    Args:
        taken: Jobs that join now, each with the request for which the engine has a row reserved.
        expired: Jobs that waited until their deadline passed, and are to be ended.
        cancelled: Ids of jobs that it got before and is to drop.
        is_closed: Whether there is nothing more to do: what it holds is to be ended.
    """

    taken: Sequence[tuple[SequenceRequest, Live]] = ()
    expired: Sequence[Live] = ()
    cancelled: Sequence[int] = ()
    is_closed: bool = False


_NOTHING = Handout()


@dataclass(frozen=True, kw_only=True)
class QueueRules:
    """What a queue takes, and in which order.

    Args:
        takes_late: Whether jobs may wait that are not expected to be done before their deadline.
        weights: Shares of clients; 1 of any that is not there.
    """

    takes_late: bool = False
    weights: Weights = field(default_factory=dict)


DEFAULT_RULES = QueueRules()


class JobQueue:
    """Jobs in the order of `FairOrder`, of a call the longest first; any thread may call any of its methods.

    It is the one place where jobs wait: a runner gets as many as its engine can encode now. Jobs that it
    gives back, from `take`, `cancel`, `fail` and `clear`, are forgotten, and whoever called must end them.

    Args:
        num_slots: Of each runner's engine.
        max_waiting: Jobs that may be without a slot.
        busy_runners: Told while a runner waits in `take`.
        rules: What is taken, and in which order.
    """

    def __init__(
        self,
        num_slots: Sequence[int],
        max_waiting: int,
        busy_runners: BusyRunners,
        rules: QueueRules = DEFAULT_RULES,
    ) -> None:
        self._takes_late = rules.takes_late
        self.portions = tuple(Portion(count) for count in num_slots)
        self._max_waiting = max_waiting
        self._busy_runners = busy_runners
        self.pace = Pace(len(self.portions))
        self._num_runners = len(self.portions)  # that have not failed
        self._ids = itertools.count()
        self._changed = threading.Condition()  # guards all that follows, and wakes runners
        self._waiting: dict[int, Live] = {}  # all that were not handed out
        self._order = FairOrder(rules.weights)  # which of those that no runner has claimed is next
        self._holders: dict[int, Portion] = {}  # of each job that is claimed or handed out
        self._backlog = Backlog(self.pace, num_slots, rules.weights)
        self._num_calls = itertools.count()
        self._last_interactive = -math.inf
        self._num_without_slot = 0
        self._num_tokens_without_slot = 0
        self._is_draining = False
        self._is_closed = False

    @property
    def num_waiting(self) -> int:
        """Jobs that have no slot yet, those included that a runner has taken and not yet encoded."""
        return self._num_without_slot

    @property
    def num_waiting_tokens(self) -> int:
        """Source tokens of the jobs that have no slot yet."""
        return self._num_tokens_without_slot

    @property
    def num_taken(self) -> int:
        """Jobs that are some runner's: claimed, or handed out and not released."""
        return len(self._holders)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def submit(
        self, jobs: Sequence[Job], *, later: Sequence[Job] = (), is_begun: bool = False
    ) -> list[tuple[int, JobFuture]]:
        """Queue all jobs of a call, or none.

        Args:
            later: More of the call, of its other parts: they count for when it is done, and for whether it is
                bulk.
            is_begun: Whether the call was taken before: it is refused for nothing but room.

        Returns:
            For each job, in the call's order, an id for `cancel` and its future.

        Raises:
            QueueFull: they do not all fit.
            Overloaded: they would not be done before their deadline.
            Draining: the queue takes no more.
        """
        if not jobs:
            return []
        works = [self._work_of(job) for job in jobs]
        all_work = sum(works) + sum(map(self._work_of, later))
        with self._changed:
            if self._is_closed or not self._num_runners or (self._is_draining and not is_begun):
                raise Draining
            if self._num_without_slot + len(jobs) > self._max_waiting:
                raise QueueFull(len(jobs), self._num_without_slot, self._max_waiting)
            now = time.monotonic()
            flow = self._flow_of(jobs[0], all_work)
            if not (self._takes_late or is_begun):
                self._backlog.require_in_time([*jobs, *later], flow, now)
            if flow.priority is Priority.INTERACTIVE:
                self._last_interactive = now
            added = [
                (next(self._ids), Live(job, JobFuture(now), flow, work))
                for job, work in zip(jobs, works, strict=True)
            ]
            # Sources of like length are encoded together, and no long one is left to the end.
            for sequence_id, live in sorted(added, key=lambda item: -len(item[1].job.source)):
                self._waiting[sequence_id] = live
                self._order.add(live.job.request(sequence_id), flow, live.work)
                self._backlog.add(flow, live.work, live.job.options.method.width)
            self._num_without_slot += len(jobs)
            self._num_tokens_without_slot += sum(len(job.source) for job in jobs)
            self._changed.notify_all()
        return [(sequence_id, live.future) for sequence_id, live in added]

    def _work_of(self, job: Job) -> float:
        return self.pace.work(job.options, len(job.source)) + _SOURCE_WORK * len(job.source)

    def _flow_of(self, job: Job, work: float) -> Flow:
        priority = Priority.BULK if work > BULK_WORK else job.priority
        call = next(self._num_calls) if job.call is None else job.call
        return Flow(client=job.client, call=call, priority=priority)

    def take(
        self, portion: Portion, reserve: Has, *, has_lane: Has = lambda _: True, takes_more: bool = True
    ) -> Handout:
        """Give a runner what joins now; blocks while it holds no job and there is none for it.

        Args:
            takes_more: Whether it wants any; False leaves what waits to other runners.
            has_lane: The engine's: whether the lane that a request needs is open.
            reserve: The engine's: keeps room for a request, or says that there is none. It is called with the
                queue locked, and not again for a request that is taken.
        """
        if portion.num_taken and not (self._waiting or self._is_closed or portion.cancelled):
            return _NOTHING  # read without the lock: what changes now is seen a step later
        with self._changed:
            if not self._has_work(portion):
                with self._busy_runners.idle():
                    self._changed.wait_for(lambda: self._has_work(portion))
            expired = self._expire(time.monotonic())
            taken = self._take_share(portion, reserve, has_lane) if takes_more and not self._is_closed else []
            cancelled, portion.cancelled = portion.cancelled, []
            return Handout(taken, expired, cancelled, self._is_closed)

    def _take_share(
        self, portion: Portion, reserve: Has, has_lane: Has
    ) -> list[tuple[SequenceRequest, Live]]:
        """Claim the runner's share, so that texts of like length stay together, and take a part of it."""
        self._return_bulk(portion)
        for _ in range(self._share(portion)):
            request = self._order.pop(self._priorities(portion))
            if request is None:
                break
            portion.claim(request, self._waiting[request.sequence_id].flow.priority)
            self._holders[request.sequence_id] = portion
        requests = portion.hand_out(reserve, has_lane)
        return [(request, self._waiting.pop(request.sequence_id)) for request in requests]

    def _return_bulk(self, portion: Portion) -> None:
        """Let what is claimed of bulk beyond its slots wait again, once somebody else has come."""
        if not self._order.num_waiting(Priority.INTERACTIVE):
            return
        while portion.num_bulk > self._bulk_slots(portion) and (request := portion.return_bulk()):
            live = self._waiting[request.sequence_id]
            del self._holders[request.sequence_id]
            self._order.add(request, live.flow, live.work)

    def _priorities(self, portion: Portion) -> tuple[Priority, ...]:
        """Whose jobs a runner may claim now."""
        if portion.num_bulk < self._bulk_slots(portion):
            return tuple(Priority)
        return (Priority.INTERACTIVE,)

    def _bulk_slots(self, portion: Portion) -> int:
        """Slots of a runner that bulk may have: all, while nobody else comes."""
        if time.monotonic() - self._last_interactive > _INTERACTIVE_SECONDS:
            return portion.num_slots
        return -(-portion.num_slots // _BULK_SHARE)

    def _has_work(self, portion: Portion) -> bool:
        return bool(
            self._is_closed
            or portion.num_taken
            or portion.cancelled
            or (self._order and self._share(portion))
        )

    def _share(self, portion: Portion) -> int:
        """Of all jobs that wait and run an equal part for each runner, as far as it has slots.

        A busy runner gets none until enough slots are free for newcomers to join together.
        """
        num_slots = portion.num_slots
        num_bulk = min(self._order.num_waiting(Priority.BULK), self._bulk_slots(portion) - portion.num_bulk)
        num_waiting = self._order.num_waiting(Priority.INTERACTIVE) + max(0, num_bulk)
        num_free = num_slots - portion.num_taken + min(portion.num_without_room, num_slots)
        if portion.num_taken and num_free < min(num_waiting, num_slots // _JOIN_SHARE):
            return 0
        fair_share = -(-(self.num_taken + num_waiting) // self._num_runners)
        return max(0, min(fair_share - portion.num_taken, num_free, num_waiting))

    def enter_slot(self, live: Live) -> None:
        """Count a taken job as one that waits no more."""
        with self._changed:
            self._leave(live)

    def release(self, sequence_id: int, live: Live, work: float = 0.0) -> None:
        """Forget a taken job, whether it got a slot or not; its runner may get another.

        Args:
            work: Hypothesis tokens that it took; what is more than expected is charged to its client.
        """
        with self._changed:
            self._drop(sequence_id, live)
            if work > live.work:
                self._order.charge(live.flow, work - live.work)
            if live.times.encoded is None:
                self._leave(live)

    def _drop(self, sequence_id: int, live: Live) -> None:
        """Take a job from whoever has it, and out of the backlog."""
        width = live.job.options.method.width
        if portion := self._holders.pop(sequence_id, None):
            portion.release(sequence_id, live.flow.priority)
        else:
            self._order.remove(sequence_id)
        self._backlog.remove(live.flow, live.work, width)

    def _leave(self, live: Live) -> None:
        self._num_without_slot -= 1
        self._num_tokens_without_slot -= len(live.job.source)

    def _expire(self, now: float) -> list[Live]:
        return self._forget([i for i, live in self._waiting.items() if live.job.is_late(now)])

    def cancel(self, sequence_ids: Sequence[int]) -> list[Live]:
        """Give back those jobs that wait, and tell the runners of those that they hold; others are over."""
        with self._changed:
            waiting = self._forget(dict.fromkeys(i for i in sequence_ids if i in self._waiting))
            for sequence_id in sequence_ids:
                if portion := self._holders.get(sequence_id):
                    portion.cancelled.append(sequence_id)
            self._changed.notify_all()
        return waiting

    def _forget(self, sequence_ids: Iterable[int]) -> list[Live]:
        jobs = []
        for sequence_id in sequence_ids:
            jobs.append(self._waiting.pop(sequence_id))
            self._drop(sequence_id, jobs[-1])
            self._leave(jobs[-1])
        return jobs

    def drain(self) -> None:
        """Refuse new jobs from now on; what waits or runs goes on."""
        with self._changed:
            self._is_draining = True

    def fail(self, portion: Portion) -> list[Live]:
        """Drain because a runner takes no more, and give back what it has claimed: others may fail on it too.

        If no runner is left it is all that waits.
        """
        with self._changed:
            self._is_draining = True
            self._num_runners -= 1
            claimed = [i for i in self._waiting if self._holders.get(i) is portion]
            return self._forget(claimed if self._num_runners else list(self._waiting))

    def close(self) -> None:
        """Refuse new jobs, and tell all runners to end."""
        with self._changed:
            self._is_draining = self._is_closed = True
            self._changed.notify_all()

    def clear(self) -> list[Live]:
        """Give back all jobs that wait, after the runners have ended."""
        with self._changed:
            return self._forget(list(self._waiting))
