"""How a call failed, by what gRPC and the server say, and the error that it becomes; knows no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from traghetto.errors import (
    CallError,
    DeadlineExceeded,
    InvalidArgument,
    MessageTooLarge,
    NotServed,
    QuotaExceeded,
    ServerBusy,
    ServerFault,
    ServerUnavailable,
    Violation,
)

Detail = TypeVar("Detail", bound=Message)
_STATUS_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
# What gRPC says where it had no connection to send the call on.
_NOT_CONNECTED = (
    "connections to all backends failing",
    "failed to connect to all addresses",
    "DNS resolution failed",
)
# HTTP/2's REFUSED_STREAM (RFC 9113, section 8.7): the server has not begun with the call.
_REFUSED_STREAM = "RST_STREAM with error code 7"
# What gRPC says, as UNKNOWN, where a connection ended with an error: TLS has met bytes that were damaged.
_STREAM_REMOVED = "Stream removed"
# What gRPC says in asyncio in place of the server's status, of a stream that ended while it was written to.
_ENDED_UNDER_WRITING = "Internal error from Core"
_CLOSED_HERE = "Channel closed"
_SERVER_FAULTS = frozenset((grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS))


class Kind(Enum):
    """What a failure says about another try."""

    BUSY = auto()  # the queue is full: come back when the server says
    UNREACHED = auto()  # it was never sent: there is no connection to any server
    REFUSED = auto()  # a server did not begin with it: it goes to the next
    DIED = auto()  # a server may have begun with it, and the connection is gone
    FINAL = auto()  # another try would fail alike


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How one try failed.

    Args:
        code: gRPC's status code.
        message: The server's words, or gRPC's where no server answered.
        status: What the server says beside; None where it says nothing, or no server answered.
        pushback_ms: gRPC's own word for when to come back, in milliseconds; below 0 for never, None without
            one.

    Source of the pushback: gRFC A6, "Client Retries".
    """

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status | None = None
    pushback_ms: int | None = None

    @property
    def retry_after_seconds(self) -> float | None:
        """When the server asks to come back: its RetryInfo, else gRPC's pushback; None without either."""
        retry = _detail(self.status, error_details_pb2.RetryInfo())
        if retry is not None:
            return retry.retry_delay.ToTimedelta().total_seconds()
        return None if self.pushback_ms is None or self.pushback_ms < 0 else self.pushback_ms / 1000

    @property
    def is_unanswered(self) -> bool:
        """Whether it is gRPC that says so, of a connection that is not there or no more, and no server."""
        if self.code is grpc.StatusCode.UNKNOWN:
            return self.status is None and self.message.startswith(_STREAM_REMOVED)
        return self.status is None and self.code is grpc.StatusCode.UNAVAILABLE

    @property
    def kind(self) -> Kind:  # noqa: PLR0911 - a return for each finding
        """What to think of another try."""
        if self.pushback_ms is not None and self.pushback_ms < 0:
            return Kind.FINAL
        if self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self.retry_after_seconds is not None:
            return Kind.BUSY
        if self.code is grpc.StatusCode.CANCELLED:  # gRPC's answer while a server closes its port
            return Kind.FINAL if self.message.startswith(_CLOSED_HERE) else Kind.REFUSED
        if self.code is grpc.StatusCode.INTERNAL and self.message == _ENDED_UNDER_WRITING:
            return Kind.REFUSED  # whatever it is, the next try tells
        if self.code is not grpc.StatusCode.UNAVAILABLE and not self.is_unanswered:
            return Kind.FINAL
        if self.message.startswith(_NOT_CONNECTED):
            return Kind.UNREACHED
        is_refused = self.status is not None or _REFUSED_STREAM in self.message
        return Kind.REFUSED if is_refused else Kind.DIED


def failure_of(code: grpc.StatusCode, message: str | None, metadata: Iterable[Any]) -> Failure:
    """A failed try.

    Args:
        metadata: The call's trailing metadata, names and values; google.rpc.Status and a pushback are read
            from there.
    """
    status = pushback_ms = None
    for name, value in metadata:
        if name == _STATUS_DETAILS and isinstance(value, bytes):
            status = _parsed(value)
        elif name == _PUSHBACK:
            pushback_ms = _milliseconds(value)
    return Failure(code=code, message=message or "", status=status, pushback_ms=pushback_ms)


def error_of(  # noqa: PLR0911 - a return for each kind of error
    failure: Failure, timeout_seconds: float, *, security: str, proxy: str | None
) -> CallError:
    """The error to raise for the last failure of a call.

    Args:
        timeout_seconds: The limit on the call and all its tries.
        security: How the server was asked, for the message where no server answers: one with TLS closes the
            connection of a client without it, and says no more.
        proxy: What the call went through, for the same message.
    """
    code, message, status = failure.code, failure.message, failure.status
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidArgument(message, _violations(status))
        case grpc.StatusCode.NOT_FOUND:
            resource = _detail(status, error_details_pb2.ResourceInfo())
            return NotServed(message, resource.resource_name if resource else "")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            seconds, quota = failure.retry_after_seconds, _quota(status)
            if quota is not None:
                return QuotaExceeded(message, quota, seconds)
            return MessageTooLarge(message) if seconds is None else ServerBusy(message, seconds)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(message, timeout_seconds)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.UNKNOWN if failure.is_unanswered:
            through = f", through the proxy of {proxy}" if proxy else ""
            return ServerUnavailable(code, f"{message} (asked {security}{through})", proxy)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return ServerUnavailable(code, message, proxy)
        case _:
            return (ServerFault if code in _SERVER_FAULTS else CallError)(code, message)


def _parsed(content: bytes) -> status_pb2.Status | None:
    try:
        return status_pb2.Status.FromString(content)
    except DecodeError:
        return None


def _milliseconds(value: str | bytes) -> int:
    """A pushback; what cannot be read forbids another try, as gRFC A6 has it."""
    try:
        return int(value)
    except ValueError:
        return -1


def _detail(status: status_pb2.Status | None, empty: Detail) -> Detail | None:
    """The first detail of the kind of `empty`, which it fills."""
    for packed in status.details if status else ():
        if packed.Unpack(empty):
            return empty
    return None


def _quota(status: status_pb2.Status | None) -> str | None:
    failure = _detail(status, error_details_pb2.QuotaFailure())
    return failure.violations[0].quota_id if failure and failure.violations else None


def _violations(status: status_pb2.Status | None) -> list[Violation]:
    request = _detail(status, error_details_pb2.BadRequest())
    return [
        Violation(field=violation.field, description=violation.description)
        for violation in (request.field_violations if request else ())
    ]
