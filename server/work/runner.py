"""A thread that owns an engine: it takes jobs from its model's queue and steps them to their end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from server.engine.engine import Engine, StepReport
from server.engine.sequence import Failed, Hypothesis, InferenceError, StopReason
from server.errors import DEADLINE_MARGIN_SECONDS, DeadlineExceeded, Draining, InternalError
from server.telemetry.metrics import Metrics
from server.work.job import JobQueue, Live

log = logging.getLogger("traghetto.worker")

# Under load newcomers join when such a part of the slots is free, 1 / 8: the encoder is faster with many
# sources at once (docs/benchmarks.md, "What mattered").
_JOIN_SHARE = 8


def end_job(live: Live, queue: JobQueue, metrics: Metrics, reason: str, error: Exception | None) -> None:
    """Count a job that is over and fail its future, if there is an error."""
    live.times.finished = time.monotonic()
    if live.times.encoded is None:
        with queue.changed:
            queue.leave(live)
    metrics.finished[reason].inc()
    if error is not None:
        live.future.set_exception(error)


def end_cancelled(live: Live, queue: JobQueue, metrics: Metrics) -> None:
    """End a job that nobody waits for; gRPC cancels a call whose deadline passed, often a little early."""
    is_late = live.job.is_late(time.monotonic() + DEADLINE_MARGIN_SECONDS)
    end_job(live, queue, metrics, "deadline" if is_late else "cancelled", None)


class _AtWork:
    """How many runners of this process have work: one alone has the processors to itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, change: int) -> None:
        """A runner has got work (1), or has none left (-1)."""
        with self._lock:
            self._count += change

    @property
    def is_one(self) -> bool:
        """Whether there is no other."""
        return self._count == 1


_AT_WORK = _AtWork()


class Runner:
    """Runs an engine in a thread of its own.

    Args:
        name: The model's name, for logs.
        engine: Touched by the thread alone once `start` was called.
        queue: Of the model, shared with its other runners.
    """

    def __init__(self, name: str, engine: Engine, queue: JobQueue, metrics: Metrics) -> None:
        self._name, self._engine, self._queue, self._metrics = name, engine, queue, metrics
        self.num_running = 0  # slots in use, for other threads: the engine is not theirs to ask
        self._live: dict[int, Live] = {}
        self._cancelled: list[int] = []  # guarded by the queue's `changed`
        self.has_failed = False
        self.thread = threading.Thread(target=self._loop, name=f"runner-{name}", daemon=True)

    def cancel(self, sequence_id: int) -> None:
        """Drop a job at the next step if it runs here; call it with the queue's `changed` held."""
        self._cancelled.append(sequence_id)

    def _loop(self) -> None:
        _AT_WORK.add(1)
        try:
            while self._take():
                self._engine.set_lone(_AT_WORK.is_one)
                self._expire(time.monotonic())
                self._phase("encode", self._engine.admit)
                self._phase("decode_step", self._engine.decode_step)
                self.num_running = self._engine.num_running
        except Exception:
            log.exception("model %s: a runner failed", self._name)
            self._give_up()
        self.num_running = 0
        for sequence_id in list(self._live):
            self._end(sequence_id, "error", Draining())
        _AT_WORK.add(-1)

    def _give_up(self) -> None:
        """Leave what waits to the other runners, if there are any."""
        self.has_failed = True
        queue = self._queue
        with queue.changed:
            queue.is_draining = True
            queue.num_runners -= 1
            left = [] if queue.num_runners else queue.abandon()
        for live in left:
            end_job(live, queue, self._metrics, "error", Draining())

    def _take(self) -> bool:
        """Wait for something to do, and take this runner's share of what waits; False at the end."""
        queue = self._queue
        if self._live and not (queue.waiting or queue.is_stopped or self._cancelled):
            return True  # read without the lock: what changes now is seen a step later
        with queue.changed:
            if not self._has_work():
                _AT_WORK.add(-1)
                queue.changed.wait_for(self._has_work)
                _AT_WORK.add(1)
            taken = [queue.waiting.popitem(last=False) for _ in range(self._share())]
            queue.num_taken += len(taken)
            cancelled, self._cancelled = self._cancelled, []
        self._live.update(taken)
        for sequence_id, live in taken:
            self._engine.submit(live.job.request(sequence_id))
        for sequence_id in cancelled:
            self._cancel(sequence_id)
        return not queue.is_stopped

    def _has_work(self) -> bool:
        return bool(self._queue.is_stopped or self._live or self._cancelled or self._share() > 0)

    def _share(self) -> int:
        """Of all that wait and run, an equal part for each runner, as far as there are slots.

        A busy runner takes none until enough slots are free for newcomers to join together.
        """
        queue, num_slots = self._queue, self._engine.num_slots
        if self._live and num_slots - len(self._live) < min(len(queue.waiting), num_slots // _JOIN_SHARE):
            return 0
        fair = -(-(queue.num_taken + len(queue.waiting)) // queue.num_runners)
        most = min(fair, num_slots) - len(self._live)
        return max(0, min(most, len(queue.waiting)))

    def _cancel(self, sequence_id: int) -> None:
        if sequence_id in self._live:
            self._engine.cancel(sequence_id)
            end_cancelled(self._drop(sequence_id), self._queue, self._metrics)

    def _expire(self, now: float) -> None:
        for sequence_id in [i for i, live in self._live.items() if live.job.is_late(now)]:
            self._engine.cancel(sequence_id)
            self._end(sequence_id, "deadline", DeadlineExceeded())
        if not self._queue.waiting:
            return
        with self._queue.changed:
            late = [i for i, live in self._queue.waiting.items() if live.job.is_late(now)]
            expired = [self._queue.waiting.pop(i) for i in late]
        for live in expired:
            end_job(live, self._queue, self._metrics, "deadline", DeadlineExceeded())

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

    def _join(self, live: Live, started: float, now: float) -> None:
        times = live.times
        times.joined, times.encoded = started, now
        with self._queue.changed:
            self._queue.leave(live)
        self._metrics.stage_seconds["queue"].observe(started - times.queued)
        self._metrics.stage_seconds["encode"].observe(now - started)

    def _finish(self, sequence_id: int, hypotheses: tuple[Hypothesis, ...], now: float) -> None:
        live = self._live[sequence_id]
        if live.times.encoded is not None:
            self._metrics.stage_seconds["decode"].observe(now - live.times.encoded)
        is_whole = hypotheses[0].stop_reason is StopReason.END
        self._end(sequence_id, "eos" if is_whole else "length", None)
        live.future.set_result(hypotheses)

    def _fail(self, failed: Failed) -> None:
        log.error("model %s: %s", self._name, failed.error)
        if isinstance(failed.error, InferenceError):
            self._metrics.inference_errors[failed.error.kind].inc()
        self._end(failed.sequence_id, "error", InternalError("the model failed to translate this text"))

    def _end(self, sequence_id: int, reason: str, error: Exception | None) -> None:
        end_job(self._drop(sequence_id), self._queue, self._metrics, reason, error)

    def _drop(self, sequence_id: int) -> Live:
        with self._queue.changed:
            self._queue.num_taken -= 1
        return self._live.pop(sequence_id)
