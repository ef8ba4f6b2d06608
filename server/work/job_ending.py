"""How a job ends: its reason is counted, and its future fails where there is no translation."""

from __future__ import annotations

import time

from server.errors import DEADLINE_MARGIN_SECONDS, DeadlineExceeded, Draining
from server.telemetry.metrics import Metrics
from server.work.job import Live


def end_job(live: Live, metrics: Metrics, reason: str, error: Exception | None = None) -> None:
    """Count a job that is over, and fail its future if there is an error.

    Args:
        reason: One of FINISH_REASONS of `server.telemetry.metrics`.
    """
    live.times.finished = time.monotonic()
    metrics.finished[reason].inc()
    if error is not None:
        live.future.set_exception(error)


def end_expired(live: Live, metrics: Metrics) -> None:
    """End a job whose deadline has passed."""
    end_job(live, metrics, "deadline", DeadlineExceeded())


def end_abandoned(live: Live, metrics: Metrics) -> None:
    """End a job that no runner is left for."""
    end_job(live, metrics, "error", Draining())


def end_cancelled(live: Live, metrics: Metrics) -> None:
    """End a job that nobody waits for; gRPC cancels a call whose deadline passed, often a little early."""
    is_late = live.job.is_late(time.monotonic() + DEADLINE_MARGIN_SECONDS)
    end_job(live, metrics, "deadline" if is_late else "cancelled")
