"""A model's runners behind one queue: submit, cancel, drain, stop.

Callers hand over jobs and get futures; nothing else is shared with the threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.engine.engine import Engine
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job import Job, JobFuture
from server.work.job_ending import end_abandoned, end_cancelled
from server.work.job_queue import JobQueue
from server.work.runner import Runner


class Worker:
    """Translates jobs with the engines of one model, each in a thread of its own.

    Args:
        name: The model's name, for logs and metrics.
        engines: Of one session; touched by their threads alone once `start` was called.
        max_queue: Jobs that may wait for a slot.
        busy_runners: Of the process, shared with the workers of its other models.
    """

    def __init__(
        self,
        name: str,
        engines: Sequence[Engine],
        metrics: Metrics,
        max_queue: int,
        busy_runners: BusyRunners,
    ) -> None:
        self._name, self._metrics, self.max_queue = name, metrics, max_queue
        num_slots = [engine.num_slots for engine in engines]
        self._num_slots = sum(num_slots)
        self._queue = JobQueue(num_slots, max_queue, busy_runners)
        self._runners = [
            Runner(name, engine, self._queue, portion, busy_runners, metrics)
            for engine, portion in zip(engines, self._queue.portions, strict=True)
        ]

    def show(self) -> None:
        """Put this worker's queue and slots into the metrics, in place of another worker's of that name."""
        metrics, queue, name = self._metrics, self._queue, self._name
        metrics.slots.labels(name).set(self._num_slots)
        metrics.queue_limit.labels(name).set(self.max_queue)
        metrics.queue_requests.labels(name).set_function(lambda: queue.num_waiting)
        metrics.queue_tokens.labels(name).set_function(lambda: queue.num_waiting_tokens)
        metrics.running_sequences.labels(name).set_function(
            lambda: sum(runner.num_running for runner in self._runners)
        )

    def hide(self) -> None:
        """Take this worker's queue and slots out of the metrics."""
        metrics = self._metrics
        metrics.slots.remove(self._name)
        metrics.queue_limit.remove(self._name)
        metrics.queue_requests.remove(self._name)
        metrics.queue_tokens.remove(self._name)
        metrics.running_sequences.remove(self._name)

    @property
    def has_failed(self) -> bool:
        """Whether a runner died: the model serves no more."""
        return any(runner.has_failed for runner in self._runners)

    def start(self) -> None:
        """Start the threads."""
        for runner in self._runners:
            runner.thread.start()

    def submit(self, jobs: Sequence[Job]) -> list[tuple[int, JobFuture]]:
        """Queue all jobs of a call, or none; they join longest first.

        Returns:
            For each job an id for `cancel` and a future, which raises DeadlineExceeded or
            InternalError where there is no translation.

        Raises:
            QueueFull: they do not all fit.
            Draining: the server is stopping.
        """
        return self._queue.submit(jobs)

    def cancel(self, sequence_ids: Sequence[int]) -> None:
        """Drop jobs that nobody waits for any more; their slots are free at the next step."""
        for live in self._queue.cancel(sequence_ids):
            end_cancelled(live, self._metrics)

    def drain(self) -> None:
        """Refuse new jobs from now on; what is queued or running goes on."""
        self._queue.drain()

    def stop(self) -> None:
        """End the threads; jobs that are left fail as Draining."""
        self._queue.close()
        for runner in self._runners:
            runner.thread.join()
        for live in self._queue.clear():
            end_abandoned(live, self._metrics)
