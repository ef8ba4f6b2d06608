"""The one thread that owns a model's engine: submit, cancel, deadline, drain.

Callers hand over requests and get `concurrent.futures.Future`s; nothing else is shared.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from server.engine.engine import Engine, StepReport
from server.engine.sequence import (
    AttentionChoice,
    Failed,
    Hypothesis,
    InferenceError,
    Method,
    SequenceRequest,
    StopReason,
)
from server.errors import DEADLINE_MARGIN_SECONDS, DeadlineExceeded, Draining, InternalError, QueueFull
from server.metrics import Metrics

log = logging.getLogger("traghetto.worker")


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
    deadline: float | None = None


@dataclass
class _Live:
    """A submitted job until its future is done."""

    job: Job
    future: Future[tuple[Hypothesis, ...]]
    submitted: float
    encoded: float | None = None  # when it took its slot


class Worker:
    """Runs an engine in a thread of its own.

    Args:
        name: The model's name, for logs and metrics.
        engine: Touched by the thread alone once `start` was called.
        max_queue: Jobs that may wait for a slot.
    """

    def __init__(self, name: str, engine: Engine, metrics: Metrics, max_queue: int) -> None:
        self._name, self._engine, self._metrics, self.max_queue = name, engine, metrics, max_queue
        self._ids = itertools.count()
        self._live: dict[int, _Live] = {}
        self._commands: list[Callable[[], None]] = []
        self._num_waiting = 0
        self._is_draining = False
        self._is_stopped = False
        self.has_failed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name=f"worker-{name}", daemon=True)
        metrics.slots.labels(name).set(engine.num_slots)
        metrics.queue_limit.labels(name).set(max_queue)
        metrics.queue_requests.labels(name).set_function(lambda: self._num_waiting)
        self._queue_tokens = metrics.queue_tokens.labels(name)
        self._running_sequences = metrics.running_sequences.labels(name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> list[tuple[int, Future[tuple[Hypothesis, ...]]]]:
        """Queue all jobs of a call, or none.

        Returns:
            For each job an id for `cancel` and a future, which raises DeadlineExceeded or
            InternalError where there is no translation.

        Raises:
            QueueFull: they do not all fit.
            Draining: the server is stopping.
        """
        with self._wake:
            if self._is_draining:
                raise Draining
            if self._num_waiting + len(jobs) > self.max_queue:
                raise QueueFull(len(jobs), self._num_waiting, self.max_queue)
            self._num_waiting += len(jobs)
            now = time.monotonic()
            added = [(next(self._ids), _Live(job, _started_future(), now)) for job in jobs]
            self._commands.append(lambda: self._add(added))
            self._wake.notify()
        return [(sequence_id, live.future) for sequence_id, live in added]

    def cancel(self, sequence_ids: Sequence[int]) -> None:
        """Drop jobs that nobody waits for any more; their slots are free at the next step."""
        with self._wake:
            self._commands.append(lambda: self._cancel(sequence_ids))
            self._wake.notify()

    def drain(self) -> None:
        """Refuse new jobs from now on; what is queued or running goes on."""
        with self._wake:
            self._is_draining = True

    def stop(self) -> None:
        """End the thread; jobs that are left fail as Draining."""
        with self._wake:
            self._is_draining = self._is_stopped = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while self._take_commands():
                self._expire(time.monotonic())
                self._phase("encode", self._engine.admit)
                self._phase("decode_step", self._engine.decode_step)
                self._queue_tokens.set(self._engine.num_waiting_tokens)
                self._running_sequences.set(self._engine.num_running)
        except Exception:
            log.exception("model %s: the worker failed", self._name)
            self.has_failed = True
        self.drain()
        self._take_commands()
        for sequence_id in list(self._live):
            self._end(sequence_id, "error", Draining())

    def _take_commands(self) -> bool:
        with self._wake:
            while not (self.has_failed or self._commands or self._live or self._is_stopped):
                self._wake.wait()
            commands, self._commands = self._commands, []
        for command in commands:
            command()
        return not self._is_stopped

    def _add(self, added: list[tuple[int, _Live]]) -> None:
        for sequence_id, live in added:
            self._live[sequence_id] = live
            job = live.job
            self._engine.submit(
                SequenceRequest(
                    sequence_id=sequence_id,
                    source=job.source,
                    method=job.method,
                    length_penalty=job.length_penalty,
                    max_target_tokens=job.max_target_tokens,
                    attention=job.attention,
                )
            )

    def _cancel(self, sequence_ids: Sequence[int]) -> None:
        for sequence_id in sequence_ids:
            if sequence_id in self._live:
                self._engine.cancel(sequence_id)
                # gRPC cancels a call whose deadline passed, often before the next step sees it.
                is_late = self._is_late(self._live[sequence_id], time.monotonic() + DEADLINE_MARGIN_SECONDS)
                self._end(sequence_id, "deadline" if is_late else "cancelled", None)

    @staticmethod
    def _is_late(live: _Live, now: float) -> bool:
        return live.job.deadline is not None and live.job.deadline <= now

    def _expire(self, now: float) -> None:
        late = [i for i, live in self._live.items() if self._is_late(live, now)]
        for sequence_id in late:
            self._engine.cancel(sequence_id)
            self._end(sequence_id, "deadline", DeadlineExceeded())

    def _phase(self, phase: str, run: Callable[[], StepReport | None]) -> None:
        started = time.monotonic()
        report = run()
        if report is None:
            return
        now = time.monotonic()
        self._metrics.batch_seconds[phase].observe(now - started)
        self._metrics.batch_sequences[phase].observe(report.num_sequences)
        self._metrics.batch_padding[phase].observe(report.padding_ratio)
        if phase == "decode_step":
            self._metrics.decode_steps.inc()
        for sequence_id in report.joined:
            self._join(self._live[sequence_id], started, now)
        for result in report.results:
            if isinstance(result, Failed):
                self._fail(result)
            else:
                self._finish(result.sequence_id, result.hypotheses, now)

    def _join(self, live: _Live, started: float, now: float) -> None:
        live.encoded = now
        self._leave_queue()
        self._metrics.stage_seconds["queue"].observe(started - live.submitted)
        self._metrics.stage_seconds["encode"].observe(now - started)

    def _finish(self, sequence_id: int, hypotheses: tuple[Hypothesis, ...], now: float) -> None:
        live = self._live[sequence_id]
        if live.encoded is not None:
            self._metrics.stage_seconds["decode"].observe(now - live.encoded)
        is_whole = hypotheses[0].stop_reason is StopReason.END
        self._end(sequence_id, "eos" if is_whole else "length", None)
        live.future.set_result(hypotheses)

    def _fail(self, failed: Failed) -> None:
        log.error("model %s: %s", self._name, failed.error)
        if isinstance(failed.error, InferenceError):
            self._metrics.inference_errors[failed.error.kind].inc()
        self._end(failed.sequence_id, "error", InternalError("the model failed to translate this text"))

    def _end(self, sequence_id: int, reason: str, error: Exception | None) -> None:
        live = self._live.pop(sequence_id)
        if live.encoded is None:
            self._leave_queue()
        self._metrics.finished[reason].inc()
        if error is not None:
            live.future.set_exception(error)

    def _leave_queue(self) -> None:
        with self._wake:
            self._num_waiting -= 1


def _started_future() -> Future[tuple[Hypothesis, ...]]:
    """A future that nobody but the worker ends: a caller who gives up calls `Worker.cancel`."""
    future: Future[tuple[Hypothesis, ...]] = Future()
    future.set_running_or_notify_cancel()
    return future
