"""A model's runners behind one queue: submit, cancel, drain, stop.

Callers hand over jobs and get futures; nothing else is shared with the threads.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from server.engine.engine import Engine
from server.errors import Draining, QueueFull
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics
from server.work.job import Job, JobFuture, JobQueue, Live
from server.work.runner import Runner, end_cancelled, end_job


class Worker:
    """Translates jobs with the engines of one model, each in a thread of its own.

    Args:
        name: The model's name, for logs.
        engines: Of one session; touched by their threads alone once `start` was called.
        max_queue: Jobs that may wait for a slot.
    """

    def __init__(self, name: str, engines: Sequence[Engine], metrics: Metrics, max_queue: int) -> None:
        self._metrics, self.max_queue = metrics, max_queue
        self._ids = itertools.count()
        self._queue = queue = JobQueue(len(engines))
        self._runners = [Runner(name, engine, queue, metrics) for engine in engines]
        self._num_slots = sum(engine.num_slots for engine in engines)

    def publish(self, series: ModelMetrics) -> None:
        """Tell its slots and its queue in the model's metrics."""
        queue, runners = self._queue, self._runners
        series.set_capacity(num_slots=self._num_slots, max_queue=self.max_queue)
        series.follow(
            num_waiting=lambda: queue.num_waiting,
            num_waiting_tokens=lambda: queue.num_waiting_tokens,
            num_running=lambda: sum(runner.num_running for runner in runners),
        )

    @property
    def has_failed(self) -> bool:
        """Whether a runner died: the model serves no more."""
        return any(runner.has_failed for runner in self._runners)

    def start(self) -> None:
        """Start the threads."""
        for runner in self._runners:
            runner.thread.start()

    def submit(self, jobs: Sequence[Job]) -> list[tuple[int, JobFuture]]:
        """Queue all jobs of a call, or none.

        They join longest first: sources of like length are encoded together, and no long one is left to the
        end.

        Returns:
            For each job an id for `cancel` and a future, which raises DeadlineExceeded or
            InternalError where there is no translation.

        Raises:
            QueueFull: they do not all fit.
            Draining: the server is stopping.
        """
        queue = self._queue
        with queue.changed:
            if queue.is_draining:
                raise Draining
            if queue.num_waiting + len(jobs) > self.max_queue:
                raise QueueFull(len(jobs), queue.num_waiting, self.max_queue)
            now = time.monotonic()
            added = [(next(self._ids), Live(job, JobFuture(now))) for job in jobs]
            for sequence_id, live in sorted(added, key=lambda item: -len(item[1].job.source)):
                queue.add(sequence_id, live)
            queue.changed.notify_all()
        return [(sequence_id, live.future) for sequence_id, live in added]

    def cancel(self, sequence_ids: Sequence[int]) -> None:
        """Drop jobs that nobody waits for any more; their slots are free at the next step."""
        queue = self._queue
        with queue.changed:
            dropped = []
            for sequence_id in sequence_ids:
                if live := queue.waiting.pop(sequence_id, None):
                    dropped.append(live)
                else:
                    for runner in self._runners:
                        runner.cancel(sequence_id)
            queue.changed.notify_all()
        for live in dropped:
            end_cancelled(live, queue, self._metrics)

    def drain(self) -> None:
        """Refuse new jobs from now on; what is queued or running goes on."""
        with self._queue.changed:
            self._queue.is_draining = True

    def stop(self) -> None:
        """End the threads; jobs that are left fail as Draining."""
        queue = self._queue
        with queue.changed:
            queue.is_draining = queue.is_stopped = True
            queue.changed.notify_all()
        for runner in self._runners:
            runner.thread.join()
        with queue.changed:
            left = queue.abandon()
        for live in left:
            end_job(live, queue, self._metrics, "error", Draining())
