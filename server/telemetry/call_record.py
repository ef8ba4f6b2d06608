"""What one call does to its record and to the metrics, in one place."""

from __future__ import annotations

import time

from server.engine.sequence import StopReason
from server.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    MalformedRequest,
    ModelChanged,
    ModelUnloadable,
    NoModelMemory,
    NotAllowed,
    NotServed,
    Overloaded,
    PermissionDenied,
    QueueFull,
    QuotaExceeded,
    RequestError,
    Unauthenticated,
)
from server.telemetry.call import Call
from server.telemetry.metrics import Metrics
from server.translation.request import TranslationRequest
from server.translation.results import TranslatedHypothesis, Translation
from server.work.job import JobTimes

_REJECT_REASONS: dict[type[RequestError], str] = {
    InvalidRequest: "invalid",
    MalformedRequest: "invalid",
    NotServed: "invalid",
    NotAllowed: "permission",
    PermissionDenied: "permission",
    Unauthenticated: "unauthenticated",
    QuotaExceeded: "quota",
    QueueFull: "queue_full",
    Overloaded: "overload",
    NoModelMemory: "model_memory",
    ModelUnloadable: "model_load",
    ModelChanged: "model_load",
    Draining: "draining",
}


def count_rejection(metrics: Metrics, error: RequestError) -> None:
    """Count a call that is refused before it is translated; one that fails later is none."""
    if isinstance(error, DeadlineExceeded):
        if not error.was_queued:
            metrics.rejected["deadline"].inc()
    elif (reason := _REJECT_REASONS.get(type(error))) is not None:
        metrics.rejected[reason].inc()
        if isinstance(error, QuotaExceeded):
            metrics.tenant_refusals.labels(error.tenant, error.quota).inc()
        elif isinstance(error, PermissionDenied | NotAllowed):
            metrics.tenant_refusals.labels(error.tenant, "permission").inc()


def _joined(names: str, name: str) -> str:
    """Names with one more, unless it is among them."""
    return name if not names else names if name in names.split(",") else f"{names},{name}"


class CallRecord:
    """Writes into a call's record and the metrics while the call is worked on.

    A call whose texts are in several languages has one for each, with the one call.
    """

    def __init__(self, call: Call, metrics: Metrics) -> None:
        self._call, self._metrics, self._pair, self._num_followed = call, metrics, "", 0

    def accept(self, request: TranslationRequest, started: float) -> None:
        """A call that proves valid now; `started` is when it began to be read, on the monotonic clock."""
        self.name(request)
        self.end_stage("validate", started)

    def name(self, request: TranslationRequest) -> None:
        """The model that works on the call now, the pair, and how it searches."""
        call, method = self._call, request.options.method
        self._pair = "-".join(request.pair)
        call.model, call.pair = _joined(call.model, request.model.name), _joined(call.pair, self._pair)
        call.search, call.beam_size = type(method).__name__.lower(), method.width

    def end_stage(self, name: str, started: float) -> None:
        """Count and remember a stage that ends now."""
        now = time.monotonic()
        earlier, _ = self._call.call_stages.get(name, (started, now))
        self._call.call_stages[name] = (min(earlier, started), now)
        self._metrics.stage_seconds[name].observe(now - started)

    def follow(self, times: list[JobTimes]) -> None:
        """Remember how far the call's texts get in the model; of a stream, which has no end of them, none."""
        if self._call.is_stream:
            return
        self._call.jobs += times[self._num_followed :]
        self._num_followed = len(times)

    def count(self, translation: Translation) -> None:
        """Count the tokens of a text that a model has translated, segment by segment, and its warnings."""
        for part in translation.segments or (translation,):
            if part.num_source_tokens:
                self._count_part(part.num_source_tokens, part.hypotheses[0])
        for warning in translation.warnings:
            self._metrics.warnings[warning.reason].inc()

    def _count_part(self, num_source_tokens: int, best: TranslatedHypothesis) -> None:
        call, metrics, num_target_tokens = self._call, self._metrics, best.num_target_tokens
        call.source_tokens += num_source_tokens
        call.target_tokens += num_target_tokens
        metrics.source_tokens.observe(num_source_tokens)
        metrics.target_tokens.observe(num_target_tokens)
        pair = metrics.pair_labels.of(self._pair)
        metrics.tokens.labels("source", pair).inc(num_source_tokens)
        metrics.tokens.labels("target", pair).inc(num_target_tokens)
        if best.stop_reason is StopReason.LENGTH:
            metrics.output_truncated.labels(pair).inc()
