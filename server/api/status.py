"""What gRPC answers for each error: its status code and its google.rpc details, in the one table for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

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
)


@dataclass(frozen=True)
class Answer:
    """What a class of errors is answered with.

    Args:
        detail: Makes the google.rpc message that tells of an error of that class; None without one.
        retries: Whether such an error has a `retry_seconds`, the client's wait if it is not None.
    """

    code: grpc.StatusCode
    detail: Callable[[Any], Message] | None = None
    retries: bool = False


def _bad_request(error: InvalidRequest) -> Message:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
        for v in error.violations
    ]
    return error_details_pb2.BadRequest(field_violations=violations)


def _resource_info(error: NotServed) -> Message:
    return error_details_pb2.ResourceInfo(
        resource_type=error.resource_type, resource_name=error.resource_name, description=error.description
    )


def _quota_failure(error: QuotaExceeded) -> Message:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=f"tenant:{error.tenant}",
        description=str(error),
        quota_id=error.quota,
        quota_value=error.limit,
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _retry_seconds(error: RequestError) -> float | None:
    """When the same call may come again, of an error that says so."""
    return getattr(error, "retry_seconds") if ANSWERS[type(error)].retries else None  # noqa: B009 - of its own class


def _retry_info(retry_seconds: float) -> Message:
    seconds = int(retry_seconds)
    delay = duration_pb2.Duration(seconds=seconds, nanos=int((retry_seconds - seconds) * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


ANSWERS: dict[type[RequestError], Answer] = {
    InvalidRequest: Answer(grpc.StatusCode.INVALID_ARGUMENT, _bad_request),
    MalformedRequest: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    SourceTooLong: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    TextTooLong: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    NothingToScore: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    TargetTooLong: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    LanguageUnsure: Answer(grpc.StatusCode.INVALID_ARGUMENT),
    NotServed: Answer(grpc.StatusCode.NOT_FOUND, _resource_info),
    NotAllowed: Answer(grpc.StatusCode.PERMISSION_DENIED, _resource_info),
    Unauthenticated: Answer(grpc.StatusCode.UNAUTHENTICATED),
    PermissionDenied: Answer(grpc.StatusCode.PERMISSION_DENIED),
    QuotaExceeded: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, _quota_failure, retries=True),
    QueueFull: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, retries=True),
    Overloaded: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, retries=True),
    NoModelMemory: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, retries=True),
    ModelUnloadable: Answer(grpc.StatusCode.FAILED_PRECONDITION),
    ModelChanged: Answer(grpc.StatusCode.UNAVAILABLE),
    Draining: Answer(grpc.StatusCode.UNAVAILABLE),
    DeadlineExceeded: Answer(grpc.StatusCode.DEADLINE_EXCEEDED),
    TimeLimitExceeded: Answer(grpc.StatusCode.DEADLINE_EXCEEDED),
    InternalError: Answer(grpc.StatusCode.INTERNAL),
}


def details_of(error: RequestError) -> list[Message]:
    """The google.rpc messages beside an error's own message."""
    detail, retry_seconds = ANSWERS[type(error)].detail, _retry_seconds(error)
    details = [] if detail is None else [detail(error)]
    return details if retry_seconds is None else [*details, _retry_info(retry_seconds)]


def to_status(error: RequestError) -> status_pb2.Status:
    """An error as google.rpc.Status, its details packed."""
    return packed_status(ANSWERS[type(error)].code, str(error), details_of(error))


def packed_status(code: grpc.StatusCode, message: str, details: Sequence[Message]) -> status_pb2.Status:
    """A google.rpc.Status, its details packed."""
    packed = []
    for detail in details:
        value = any_pb2.Any()
        value.Pack(detail)
        packed.append(value)
    return status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message, details=packed)


def _pushback(error: RequestError) -> tuple[tuple[str, str], ...]:
    """When gRPC's own retries may come again, in milliseconds (gRFC A6), where an error says it."""
    retry_seconds = _retry_seconds(error)
    return () if retry_seconds is None else (("grpc-retry-pushback-ms", str(round(retry_seconds * 1000))),)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: RequestError) -> NoReturn:
    """End a call with an error, its google.rpc.Status in the trailing metadata beside what is set there."""
    code = ANSWERS[type(error)].code
    await abort_with(context, code, str(error), details_of(error), _pushback(error))
    raise AssertionError("abort returned")


async def abort_with(
    context: grpc.aio.ServicerContext[Any, Any],
    code: grpc.StatusCode,
    message: str,
    details: Sequence[Message],
    metadata: Sequence[tuple[str, str]] = (),
) -> NoReturn:
    """End a call with a status and its details, beside the trailing metadata that is set there."""
    status = ("grpc-status-details-bin", packed_status(code, message, details).SerializeToString())
    trailing = (*(context.trailing_metadata() or ()), status, *metadata)
    await context.abort(code, message, trailing)
    raise AssertionError("abort returned")
