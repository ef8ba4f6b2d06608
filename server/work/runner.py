"""A thread that owns an engine: it takes jobs from its model's queue and steps them to their end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from server.engine.engine import Engine, StepReport
from server.engine.sequence import Failed, Hypothesis, InferenceError, SequenceRequest, StopReason
from server.errors import InternalError
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job import Live
from server.work.job_ending import end_abandoned, end_cancelled, end_expired, end_job
from server.work.job_queue import JobQueue
from server.work.portion import Portion

log = logging.getLogger("traghetto.worker")

Check = Callable[[Engine], None]
_MAX_FAILURES = 3  # in a row; then the engine itself is checked


class Runner:
    """Runs an engine in a thread of its own.

    Sequences that fail together are run again one at a time, so that only the one at fault fails. After an
    exception of the engine itself, or failures in a row, it must pass its check again; else the runner ends.

    Args:
        name: The model's name, for logs.
        engine: Touched by the thread alone once it was started.
        queue: Of the model, shared with its other runners.
        portion: This runner's part of the queue.
        busy_runners: Of the process; counts this one while it has work.
        prepare: What the engine does first, in the thread that will run it: what a GPU captures belongs to
            a thread.
        check: Raises if the engine, in which nothing runs, does not translate as it should; None if nobody
            can tell, and an exception of the engine ends its runner.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        queue: JobQueue,
        portion: Portion,
        busy_runners: BusyRunners,
        metrics: Metrics,
        *,
        prepare: Check | None = None,
        check: Check | None = None,
    ) -> None:
        self._prepare, self._prepared = prepare, Future[None]()
        self._name, self._engine, self._metrics, self._check = name, engine, metrics, check
        self._queue, self._portion, self._busy_runners = queue, portion, busy_runners
        self.num_running = 0  # slots in use, for other threads: the engine is not theirs to ask
        self._live: dict[int, Live] = {}
        self._suspects: dict[int, SequenceRequest] = {}  # failed with others; each to be run alone
        self._lone_suspect: int | None = None  # the last one that was
        self._homeless: dict[int, Exception] = {}  # what the engine raised when room was asked for, by job
        self._reported: Exception | None = None  # the last one that several shared
        self._num_advanced = 0  # hypotheses, in the present round
        self._num_failures = 0  # since the last translation
        self.failure: Exception | None = None  # that it died of
        self.thread = threading.Thread(target=self._run, name=f"runner-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until its engine is prepared.

        Raises:
            Exception: what `prepare` raised; the thread has nothing more to do.
        """
        self.thread.start()
        try:
            self._prepared.result()
        except Exception:
            self.thread.join()
            raise

    def _run(self) -> None:
        try:
            if self._prepare is not None:
                self._prepare(self._engine)
        except Exception as error:  # noqa: BLE001 - for the thread that waits for it
            self._prepared.set_exception(error)
        else:
            self._prepared.set_result(None)
            self._loop()
        try:
            self._engine.clear()  # what it captured is of this thread
        except InferenceError as error:  # a device that is lost takes nothing back
            self._report(error)

    def _loop(self) -> None:
        with self._busy_runners.busy():
            try:
                while self._round():
                    self.num_running = self._engine.num_running
            except Exception as error:
                log.exception("model %s: a runner failed", self._name)
                self._give_up(error)
            self.num_running = 0
            for sequence_id in list(self._live):
                end_abandoned(self._release(sequence_id), self._metrics)

    def _round(self) -> bool:
        """Wait for something to do, and take one step of everything; False at the end."""
        handout = self._queue.take(
            self._portion,
            self._reserve,
            has_lane=self._engine.has_lane,
            takes_more=not self._is_doubtful,
        )
        self._engine.set_exclusive(self._busy_runners.is_single)
        for live in handout.expired:
            end_expired(live, self._metrics)
        self._cancel(handout.cancelled)
        self._refuse_homeless()
        self._expire(time.monotonic())
        self._live.update((request.sequence_id, live) for request, live in handout.taken)
        if handout.is_closed:
            return False
        started = time.monotonic()
        self._num_advanced = 0
        try:
            requests = [request for request, _ in handout.taken] or self._next_suspect()
            self._phase("encode", self._engine.admit, requests)
            self._phase("decode_step", self._engine.decode_step)
        except Exception as error:
            if self._check is None:
                raise
            self._recover(error)
        if self._num_advanced:
            self._queue.pace.observe(self._num_advanced, time.monotonic() - started)
        self._judge()
        return True

    @property
    def _is_doubtful(self) -> bool:
        """Whether the engine, or what it was given, is to be looked at before it gets anything new."""
        return bool(self._suspects) or (self._num_failures >= _MAX_FAILURES and self._check is not None)

    def _reserve(self, request: SequenceRequest) -> bool:
        """Keep room for a request; one that the engine raises at will not be asked for again."""
        try:
            return self._engine.reserve(request)
        except Exception as error:
            if self._check is None:
                raise
            self._homeless[request.sequence_id] = error
            return False

    def _refuse_homeless(self) -> None:
        """Fail the jobs that the engine raised at when it was to keep room for them."""
        for sequence_id, error in self._homeless.items():
            self._num_failures += 1
            self._report(error)
            for live in self._queue.cancel([sequence_id]):
                end_job(live, self._metrics, "error", _failed())
        self._homeless.clear()

    def _next_suspect(self) -> list[SequenceRequest]:
        """The next of those that failed together, once nothing else runs."""
        if not self._suspects or self._engine.num_running:
            return []
        self._lone_suspect, request = next(iter(self._suspects.items()))
        assert self._engine.reserve(request), "an engine in which nothing runs has room"
        return [request]

    def _recover(self, error: Exception) -> None:
        """Empty an engine that raised, and doubt all that was in it, and the engine too."""
        self._engine.clear()
        inside = [i for i in self._live if i not in self._suspects or i == self._lone_suspect]
        for sequence_id in inside:
            self._fail(Failed(sequence_id=sequence_id, error=error, is_shared=len(inside) > 1))
        self._num_failures = _MAX_FAILURES

    def _judge(self) -> None:
        """Check a doubtful engine once nothing runs in it."""
        if self._num_failures >= _MAX_FAILURES and not self._engine.num_running and self._check:
            self._engine.clear()  # a lane may be broken that the check does not use
            self._check(self._engine)
            self._num_failures = 0

    def _give_up(self, error: Exception) -> None:
        """Leave what waits to the other runners, if there are any."""
        self.failure = error
        for live in self._queue.fail(self._portion):
            end_abandoned(live, self._metrics)

    def _cancel(self, sequence_ids: Sequence[int]) -> None:
        for sequence_id in sequence_ids:
            if sequence_id in self._live:
                self._engine.cancel(sequence_id)
                end_cancelled(self._release(sequence_id), self._metrics)

    def _expire(self, now: float) -> None:
        for sequence_id in [i for i, live in self._live.items() if live.job.is_late(now)]:
            self._engine.cancel(sequence_id)
            end_expired(self._release(sequence_id), self._metrics)

    def _phase(self, phase: str, run: Callable[..., StepReport | None], *arguments: Any) -> None:
        started = time.monotonic()
        report = run(*arguments)
        if report is None:
            return
        now = time.monotonic()
        self._metrics.batch_seconds[phase].observe(now - started)
        self._metrics.batch_sequences[phase].observe(report.num_sequences)
        self._metrics.batch_padding[phase].observe(report.padding_ratio)
        if phase == "decode_step":
            self._num_advanced = report.num_hypotheses
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
        if times.encoded is not None:
            return  # it runs again, alone
        times.joined, times.encoded = started, now
        self._queue.enter_slot(live)
        self._metrics.stage_seconds["queue"].observe(started - times.queued)
        self._metrics.stage_seconds["encode"].observe(now - started)

    def _finish(self, sequence_id: int, hypotheses: tuple[Hypothesis, ...], now: float) -> None:
        self._num_failures = 0
        best, job = hypotheses[0], self._live[sequence_id].job
        num_steps = max(len(hypothesis.token_ids) for hypothesis in hypotheses)
        live = self._release(sequence_id, num_steps * job.options.method.width)
        self._queue.pace.observe_length(len(job.source), len(best.token_ids))
        if live.times.encoded is not None:
            self._metrics.stage_seconds["decode"].observe(now - live.times.encoded)
        end_job(live, self._metrics, "eos" if best.stop_reason is StopReason.END else "length")
        live.future.set_result(hypotheses)

    def _fail(self, failed: Failed) -> None:
        if failed.is_shared:
            if failed.error is not self._reported:
                self._reported = failed.error
                self._report(failed.error)
            live = self._live[failed.sequence_id]
            self._suspects[failed.sequence_id] = live.job.request(failed.sequence_id)
            return
        self._num_failures += 1
        self._report(failed.error)
        end_job(self._release(failed.sequence_id), self._metrics, "error", _failed())

    def _report(self, error: Exception) -> None:
        """Count and log what a sequence failed of; of our own faults with the place."""
        if isinstance(error, InferenceError):
            self._metrics.inference_errors[error.kind].inc()
            log.error("model %s: %s", self._name, error)
        else:
            self._metrics.inference_errors["internal"].inc()
            log.error("model %s: a fault of our own", self._name, exc_info=error)

    def _release(self, sequence_id: int, work: float = 0.0) -> Live:
        live = self._live.pop(sequence_id)
        self._suspects.pop(sequence_id, None)
        self._queue.release(sequence_id, live, work)
        return live


def _failed() -> InternalError:
    return InternalError("the model failed to translate this text")
