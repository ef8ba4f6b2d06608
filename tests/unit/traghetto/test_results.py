"""Answers of the contract as results and errors of our own."""

from __future__ import annotations

import dataclasses
from typing import cast

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from traghetto import (
    Attention,
    CallError,
    Hypothesis,
    InvalidArgument,
    ModelReference,
    NotServed,
    Segment,
    ServerFault,
    ServerUnavailable,
    StopReason,
    TextError,
    TextWarning,
    Translation,
    UsedTerm,
    Violation,
    WarningReason,
)
from traghetto.failures import error_of, failure_of
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.responses import results_of


def test_a_translation_has_all_that_the_contract_has() -> None:
    attention = pb.Attention(
        source_tokens=["▁The", "▁cat", "</s>"],
        target_tokens=["▁Il", "</s>"],
        layer=1,
        heads=[0, 2],
        weights=range(6),
    )
    response = pb.TranslateResponse(
        model=pb.ModelReference(name="en-it", sha256="ab"),
        items=[
            pb.TranslationItem(
                translation=pb.Translation(
                    text="Il",
                    stop_reason=pb.STOP_REASON_END_OF_SENTENCE,
                    source_tokens=3,
                    target_tokens=2,
                    hypotheses=[
                        pb.Hypothesis(
                            text="Il",
                            score=-0.5,
                            log_prob=-1.0,
                            stop_reason=pb.STOP_REASON_END_OF_SENTENCE,
                            target_tokens=2,
                            attention=attention,
                        ),
                        pb.Hypothesis(
                            text="I", stop_reason=pb.STOP_REASON_MAX_TARGET_TOKENS, target_tokens=1
                        ),
                    ],
                )
            )
        ],
    )
    [result] = results_of(response)
    assert result == Translation(
        text="Il",
        hypotheses=(
            Hypothesis(
                text="Il",
                score=-0.5,
                log_prob=-1.0,
                stop_reason=StopReason.END_OF_SENTENCE,
                target_tokens=2,
                attention=Attention(
                    source_tokens=("▁The", "▁cat", "</s>"),
                    target_tokens=("▁Il", "</s>"),
                    layer=1,
                    heads=(0, 2),
                    weights=((0, 1, 2), (3, 4, 5)),
                ),
            ),
            Hypothesis(
                text="I", score=None, log_prob=None, stop_reason=StopReason.MAX_TARGET_TOKENS, target_tokens=1
            ),
        ),
        stop_reason=StopReason.END_OF_SENTENCE,
        source_tokens=3,
        target_tokens=2,
        model=ModelReference(name="en-it", sha256="ab"),
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.text = "Lo"  # type: ignore[misc]


@pytest.mark.parametrize("name", [*pb.StopReason.keys(), "newer"])
def test_every_stop_reason_of_the_contract_has_a_name_and_a_newer_one_none(name: str) -> None:
    value = pb.StopReason.Value(name) if name != "newer" else cast("pb.StopReason.ValueType", 99)
    item = pb.TranslationItem(translation=pb.Translation(stop_reason=value))
    [result] = results_of(pb.TranslateResponse(items=[item]))
    assert isinstance(result, Translation)
    expected = name.removeprefix("STOP_REASON_").lower() if name != "newer" else "unspecified"
    assert result.stop_reason == expected


def test_segments_and_warnings_have_all_that_the_contract_has() -> None:
    hypothesis = pb.Hypothesis(text="Il", stop_reason=pb.STOP_REASON_END_OF_SENTENCE, target_tokens=2)
    segment = pb.Segment(
        source=pb.ByteRange(start=1, end=4),
        target=pb.ByteRange(end=2),
        score=-0.5,
        log_prob=-1.0,
        stop_reason=pb.STOP_REASON_END_OF_SENTENCE,
        source_tokens=3,
        target_tokens=2,
        hypotheses=[hypothesis],
    )
    warnings = [
        pb.Warning(reason=pb.WARNING_REASON_NUMBER, segment=0, text="7"),
        pb.Warning(reason=pb.WARNING_REASON_UNTRANSLATED),
        pb.Warning(reason=cast("pb.WarningReason.ValueType", 99)),
    ]
    terms = [pb.UsedTerm(source="cat", target="micio", met=True), pb.UsedTerm(source="dog", target="cane")]
    translation = pb.Translation(segments=[segment, pb.Segment()], warnings=warnings, glossary_terms=terms)
    [result] = results_of(pb.TranslateResponse(items=[pb.TranslationItem(translation=translation)]))
    assert isinstance(result, Translation)
    assert result.segments[0] == Segment(
        source=(1, 4),
        target=(0, 2),
        score=-0.5,
        log_prob=-1.0,
        stop_reason=StopReason.END_OF_SENTENCE,
        source_tokens=3,
        target_tokens=2,
        hypotheses=(
            Hypothesis(
                text="Il",
                score=None,
                log_prob=None,
                stop_reason=StopReason.END_OF_SENTENCE,
                target_tokens=2,
            ),
        ),
    )
    assert (result.segments[1].score, result.segments[1].log_prob) == (None, None)
    assert result.warnings == (
        TextWarning(reason=WarningReason.NUMBER, segment=0, text="7"),
        TextWarning(reason=WarningReason.UNTRANSLATED),
        TextWarning(reason=WarningReason.UNSPECIFIED),
    )
    assert result.glossary_terms == (
        UsedTerm(source="cat", target="micio", met=True),
        UsedTerm(source="dog", target="cane", met=False),
    )


def test_an_error_of_a_text_has_its_code_and_a_newer_kind_of_result_is_one() -> None:
    error = pb.TranslationItem(error=status_pb2.Status(code=3, message="too long"))
    refused, unknown = results_of(pb.TranslateResponse(items=[error, pb.TranslationItem()]))
    assert refused == TextError(grpc.StatusCode.INVALID_ARGUMENT, "too long")
    assert isinstance(unknown, TextError)
    assert unknown.code is grpc.StatusCode.UNIMPLEMENTED


def raised_for(code: grpc.StatusCode, *details: Message, proxy: str | None = None) -> CallError:
    """The error of a call that a server ended with some details."""
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message="why", details=packed)
    metadata = [("x-request-id", "7"), ("grpc-status-details-bin", status.SerializeToString())]
    return error_of(failure_of(code, "why", metadata), 60, security="without TLS", proxy=proxy)


def test_an_invalid_request_lists_its_violations() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="beam_size", description="is 0")
    error = raised_for(
        grpc.StatusCode.INVALID_ARGUMENT, error_details_pb2.BadRequest(field_violations=[violation])
    )
    assert isinstance(error, InvalidArgument)
    assert error.violations == (Violation(field="beam_size", description="is 0"),)
    assert str(error) == "INVALID_ARGUMENT: why"


def test_what_is_not_served_is_named() -> None:
    error = raised_for(grpc.StatusCode.NOT_FOUND, error_details_pb2.ResourceInfo(resource_name="en-de"))
    assert isinstance(error, NotServed)
    assert error.resource == "en-de"


def test_a_server_that_answers_was_reached_however_it_was_asked() -> None:
    error = raised_for(grpc.StatusCode.UNAVAILABLE, proxy="http_proxy=http://proxy:1")
    assert isinstance(error, ServerUnavailable)
    assert error.message == "why"


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_a_fault_of_the_server_is_one(code: grpc.StatusCode) -> None:
    assert isinstance(raised_for(code), ServerFault)


def test_details_that_cannot_be_read_are_none() -> None:
    failure = failure_of(grpc.StatusCode.UNAVAILABLE, None, [("grpc-status-details-bin", b"\xff")])
    assert (failure.status, failure.message) == (None, "")


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_code_becomes_an_error_of_that_code(code: grpc.StatusCode) -> None:
    assert raised_for(code).code is code
