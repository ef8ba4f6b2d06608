"""Every error has its status code, and tells its details."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from server import errors
from server.api.status import ANSWERS, details_of, to_status
from server.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    LanguageUnsure,
    MalformedRequest,
    ModelChanged,
    ModelUnloadable,
    NoModelMemory,
    NotAllowed,
    NothingToScore,
    NotServed,
    Overloaded,
    PermissionDenied,
    QueueFull,
    QuotaExceeded,
    RequestError,
    SourceTooLong,
    TargetTooLong,
    TextTooLong,
    TimeLimitExceeded,
    Unauthenticated,
    Violation,
    quoted,
)

EXAMPLES: list[RequestError] = [
    InvalidRequest([Violation("texts", "has none")]),
    MalformedRequest("no request"),
    SourceTooLong(300, 256),
    TextTooLong(300_000, 256),
    NothingToScore(),
    TargetTooLong(300, 256),
    LanguageUnsure([("en", 0.52), ("it", 0.48)]),
    NotServed("model", "x", "no model x"),
    NotAllowed("shop", "model", "'x'", "tenant 'shop' may not use model 'x'"),
    Unauthenticated("the token has expired"),
    PermissionDenied("shop", "call the admin service"),
    QuotaExceeded("shop", "tokens_per_minute", asked=3, used=4, limit=5, retry_seconds=1.5),
    QueueFull(3, 4, 5),
    NoModelMemory("model b needs 2 GiB"),
    ModelUnloadable("b", "weights.bin is missing"),
    ModelChanged("b"),
    Draining(),
    DeadlineExceeded(),
    TimeLimitExceeded(300.0),
    Overloaded(2.5, 1.0, 1.7),
    InternalError("the model failed"),
]


def subclasses(kind: type[RequestError]) -> Iterator[type[RequestError]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


def test_every_error_is_in_the_table() -> None:
    assert set(ANSWERS) == set(subclasses(RequestError)) == {type(error) for error in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_status_has_the_code_of_the_table_and_the_message(error: RequestError) -> None:
    status = to_status(error)
    assert code_pb2.Code.Name(status.code) == ANSWERS[type(error)].code.name
    assert status.message == str(error) != ""
    assert len(status.details) == len(details_of(error))


def test_an_invalid_request_lists_every_violation() -> None:
    violations = [Violation("texts", "has none"), Violation("options.beam_size", "is 0")]
    status = to_status(InvalidRequest(violations))
    assert status.message == "texts: has none; options.beam_size: is 0"
    (detail,) = status.details
    found = error_details_pb2.BadRequest()
    assert detail.Unpack(found)
    assert [(v.field, v.description) for v in found.field_violations] == [
        ("texts", "has none"),
        ("options.beam_size", "is 0"),
    ]


def test_what_is_not_served_is_named_as_a_resource() -> None:
    (detail,) = to_status(NotServed("language_pair", "en-de", "no en-de; served: en-it")).details
    found = error_details_pb2.ResourceInfo()
    assert detail.Unpack(found)
    assert (found.resource_type, found.resource_name) == ("language_pair", "en-de")
    assert "served: en-it" in found.description


def test_a_full_queue_says_when_to_come_back() -> None:
    status = to_status(QueueFull(3, 4, 5))
    assert all(number in status.message for number in "345")
    (detail,) = status.details
    found = error_details_pb2.RetryInfo()
    assert detail.Unpack(found)
    assert found.retry_delay.ToTimedelta().total_seconds() == errors.RETRY_SECONDS > 0


@pytest.mark.parametrize(("seconds", "expected"), [(1.7, 1.7), (0.0, 0.05), (1e6, 30.0)])
def test_an_overloaded_server_says_when_to_come_back_within_limits(seconds: float, expected: float) -> None:
    status = to_status(Overloaded(2.5, 1.0, seconds))
    (detail,) = status.details
    found = error_details_pb2.RetryInfo()
    assert detail.Unpack(found)
    assert found.retry_delay.ToTimedelta().total_seconds() == expected


@pytest.mark.parametrize("kind", [SourceTooLong, TextTooLong])
def test_a_text_too_long_states_its_length_and_the_limit(kind: type[SourceTooLong | TextTooLong]) -> None:
    status = to_status(kind(300, 256))
    assert "300" in status.message
    assert "256" in status.message
    assert not status.details


def test_of_a_long_reason_the_beginning_is_told() -> None:
    status = to_status(ModelUnloadable("b", "weights.bin is missing; " * 1000))
    assert "weights.bin is missing" in status.message
    assert status.ByteSize() < 2000


def test_the_largest_bad_request_still_fits_in_a_header() -> None:
    names = [
        *("source_language", "target_language", "texts"),
        *("options.beam_size", "options.num_hypotheses", "options.max_target_tokens"),
        *("options.length_penalty", "options.sampling.temperature", "options.sampling.top_k"),
        *("options.sampling.top_p", "options.attention.layer", *["options.attention.heads"] * 2),
    ]
    status = to_status(InvalidRequest([Violation(name, quoted("€" * 1_000_000)) for name in names]))
    assert len(status.SerializeToString()) < 8192  # gRPC's limit for all metadata of a call
    assert status_pb2.Status.FromString(status.SerializeToString()) == status
