"""What a call does to its record and to the metrics."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import pytest

from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import Beam, StopReason
from server.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    NotServed,
    Overloaded,
    QueueFull,
    RequestError,
)
from server.telemetry.call import Call
from server.telemetry.call_record import CallRecord, count_rejection
from server.telemetry.metrics import REJECT_REASONS, Metrics
from server.translation.request import TranslationRequest
from server.translation.results import TranslatedHypothesis, TranslatedSegment, Translation
from server.work.job import JobTimes


def call_of() -> Call:
    return Call("translation.v1.TranslationService", "Translate", "id", pair="en-it")


def translation(num_source_tokens: int, num_target_tokens: int, reason: StopReason) -> Translation:
    best = TranslatedHypothesis(
        text="", score=0.0, log_prob=0.0, stop_reason=reason, num_target_tokens=num_target_tokens
    )
    return Translation(hypotheses=[best], num_source_tokens=num_source_tokens)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidRequest([]), "invalid"),
        (MalformedRequest("no message"), "invalid"),
        (NotServed("model", "'x'", "no model 'x'"), "invalid"),
        (QueueFull(3, 4, 5), "queue_full"),
        (Overloaded(2.5, 1.0, 1.7), "overload"),
        (Draining(), "draining"),
        (DeadlineExceeded(was_queued=False), "deadline"),
        (DeadlineExceeded(), None),
        (InternalError("the model failed"), None),
    ],
    ids=repr,
)
def test_a_refused_call_is_counted_by_its_reason_and_one_that_fails_later_is_not(
    error: RequestError, reason: str | None
) -> None:
    metrics = Metrics()
    count_rejection(metrics, error)
    name = "translator_requests_rejected_total"
    counts = {r: metrics.registry.get_sample_value(name, {"reason": r}) for r in REJECT_REASONS}
    assert {r for r, count in counts.items() if count} == ({reason} if reason else set())


def test_a_stage_is_remembered_and_observed() -> None:
    metrics, call = Metrics(), call_of()
    started = time.monotonic() - 0.25
    CallRecord(call, metrics).end_stage("tokenize", started)
    start, end = call.call_stages["tokenize"]
    assert start == started
    assert 0.25 <= end - start < 60
    name, labels = "translator_stage_duration_seconds_sum", {"stage": "tokenize"}
    assert metrics.registry.get_sample_value(name, labels) == end - start


def accepted(call: Call, metrics: Metrics, model: str = "en-it", pair: str = "en-it") -> CallRecord:
    """A record of a call that proved valid."""
    request = SimpleNamespace(
        model=SimpleNamespace(name=model),
        pair=tuple(pair.split("-")),
        options=SimpleNamespace(method=Beam(beam_size=4)),
    )
    record = CallRecord(call, metrics)
    record.accept(cast("TranslationRequest", request), time.monotonic())
    return record


def test_a_call_of_several_languages_remembers_what_became_of_each() -> None:
    metrics, call = Metrics(), call_of()
    call.model = call.pair = ""
    first, second = (accepted(call, metrics, model, pair) for model, pair in (("a", "en-it"), ("b", "de-it")))
    accepted(call, metrics, "a", "en-it")
    assert (call.model, call.pair) == ("a,b", "en-it,de-it")
    first.count(translation(5, 7, StopReason.END))
    second.count(translation(6, 9, StopReason.END))
    labels = [{"direction": "source", "language_pair": pair} for pair in ("en-it", "de-it")]
    found = [metrics.registry.get_sample_value("translator_tokens_total", one) for one in labels]
    assert found == [5, 6]
    times = [JobTimes(queued=float(i)) for i in range(4)]
    first.follow(times[:1])
    second.follow(times[1:2])
    first.follow([times[0], *times[2:]])
    assert call.jobs == [times[0], times[1], *times[2:]]


def test_tokens_add_up_and_a_text_cut_short_is_counted() -> None:
    metrics, call = Metrics(), call_of()
    record = accepted(call, metrics)
    record.count(translation(5, 7, StopReason.END))
    record.count(translation(6, 9, StopReason.LENGTH))
    assert (call.source_tokens, call.target_tokens) == (11, 16)
    value = metrics.registry.get_sample_value
    for direction, count in (("source", 11), ("target", 16)):
        labels = {"direction": direction, "language_pair": "en-it"}
        assert value("translator_tokens_total", labels) == count
    assert value("translator_output_truncated_total", {"language_pair": "en-it"}) == 1
    assert value("translator_source_tokens_sum") == 11
    assert value("translator_target_tokens_sum") == 16


def test_of_a_text_of_several_segments_each_is_counted_and_each_warning() -> None:
    metrics, call = Metrics(), call_of()
    parts = [translation(5, 7, StopReason.END), translation(6, 9, StopReason.LENGTH)]
    segments = [
        TranslatedSegment(source=(0, 1), target=(0, 1), hypotheses=part.hypotheses, num_source_tokens=n)
        for part, n in zip(parts, (5, 6), strict=True)
    ]
    warnings = [TextWarning(reason=WarningReason.NUMBER, segment=i, text="7") for i in (0, 1)]
    whole = Translation(
        hypotheses=parts[0].hypotheses, num_source_tokens=11, segments=segments, warnings=warnings
    )
    accepted(call, metrics).count(whole)
    assert (call.source_tokens, call.target_tokens) == (11, 16)
    value = metrics.registry.get_sample_value
    assert value("translator_source_tokens_count") == 2
    assert value("translator_output_truncated_total", {"language_pair": "en-it"}) == 1
    assert value("translator_warnings_total", {"reason": "number"}) == 2
