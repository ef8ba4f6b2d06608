"""A model's runners behind one queue: submit, cancel, drain, stop.

Callers hand over jobs and get futures; nothing else is shared with the threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.engine.engine import Engine
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics
from server.work.busy_runners import BusyRunners
from server.work.job import Job, JobFuture
from server.work.job_ending import end_abandoned, end_cancelled
from server.work.job_queue import DEFAULT_RULES, JobQueue, QueueRules
from server.work.runner import Check, Runner


class Worker:
    """Translates jobs with the engines of one model, each in a thread of its own.

    Args:
        name: The model's name, for logs.
        engines: Of one session; touched by their threads alone once `start` was called.
        max_queue: Jobs that may wait for a slot.
        busy_runners: Of the process, shared with the workers of its other models.
        prepare: What an engine does before it gets jobs, see `Runner`.
        check: Of an engine in which something went wrong, see `Runner`.
        rules: Of the queue.
    """

    def __init__(
        self,
        name: str,
        engines: Sequence[Engine],
        metrics: Metrics,
        max_queue: int,
        busy_runners: BusyRunners,
        check: Check | None = None,
        *,
        prepare: Check | None = None,
        rules: QueueRules = DEFAULT_RULES,
    ) -> None:
        self._name, self._metrics, self.max_queue = name, metrics, max_queue
        num_slots = [engine.num_slots for engine in engines]
        self._num_slots = sum(num_slots)
        self._queue = JobQueue(num_slots, max_queue, busy_runners, rules)
        self._runners = [
            Runner(name, engine, self._queue, portion, busy_runners, metrics, prepare=prepare, check=check)
            for engine, portion in zip(engines, self._queue.portions, strict=True)
        ]

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
    def failure(self) -> Exception | None:
        """What a runner died of: the model serves no more."""
        return next((runner.failure for runner in self._runners if runner.failure is not None), None)

    def start(self) -> None:
        """Start the threads, one after the other: each prepares its engine first.

        Raises:
            Exception: what `prepare` raised; no thread runs then.
        """
        for i, runner in enumerate(self._runners):
            try:
                runner.start()
            except Exception:
                self._queue.close()
                for other in self._runners[:i]:
                    other.thread.join()
                raise

    def submit(
        self, jobs: Sequence[Job], *, later: Sequence[Job] = (), is_begun: bool = False
    ) -> list[tuple[int, JobFuture]]:
        """Queue all jobs of a call, or none; they join longest first.

        Args:
            later: More of the call, to be submitted when these are done.
            is_begun: Whether the call was taken before: it is refused no more.

        Returns:
            For each job an id for `cancel` and a future, which raises DeadlineExceeded or
            InternalError where there is no translation.

        Raises:
            QueueFull: they do not all fit.
            Overloaded: they would not be done before their deadline.
            Draining: the server is stopping.
        """
        return self._queue.submit(jobs, later=later, is_begun=is_begun)

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
