"""Everything that can go wrong with a request, and the one table that maps it to gRPC status codes.

RequestError
├── InvalidRequest        a field breaks a rule; lists every violation
├── MalformedRequest      the bytes are no request at all
├── SourceTooLong         one text has too many tokens
├── TextTooLong           one text has too many characters to count its tokens
├── NotServed             no such model, or no model for the pair
├── QueueFull             the server sheds load
├── Draining              the server is stopping
├── DeadlineExceeded      the client's deadline passed
└── InternalError         the model failed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

RETRY_SECONDS = 1.0
# A client ends a late call itself, and that may arrive a moment before the deadline on our clock.
DEADLINE_MARGIN_SECONDS = 0.1
_MAX_SHOWN = 64


def shown(value: str) -> str:
    """A client's value for a message: quoted, and shortened so that the answer still fits in a header."""
    return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")


class RequestError(Exception):
    """A request, or one text of it, that gets an error for an answer."""

    def details(self) -> list[message.Message]:
        """google.rpc details beside the message."""
        return []


@dataclass(frozen=True)
class Violation:
    """A field and what is wrong with it."""

    field: str
    description: str


class InvalidRequest(RequestError):
    """Fields that break a rule, all of them."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations

    def details(self) -> list[message.Message]:
        """A BadRequest with every violation."""
        found = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in self.violations
        ]
        return [error_details_pb2.BadRequest(field_violations=found)]


class MalformedRequest(RequestError):
    """The message does not parse."""


class SourceTooLong(RequestError):
    """A text that no limit allows; it is never cut."""

    def __init__(self, num_tokens: int, limit: int) -> None:
        super().__init__(f"the text has {num_tokens} tokens, the limit is {limit}")


class TextTooLong(RequestError):
    """A text so long that it is not even tokenized."""

    def __init__(self, num_characters: int, limit: int) -> None:
        super().__init__(f"the text has {num_characters} characters, the limit is {limit}")


class NotServed(RequestError):
    """No such model or pair."""

    def __init__(self, resource_type: str, name: str, message_text: str) -> None:
        super().__init__(message_text)
        self._info = error_details_pb2.ResourceInfo(
            resource_type=resource_type, resource_name=name, description=message_text
        )

    def details(self) -> list[message.Message]:
        """A ResourceInfo."""
        return [self._info]


class QueueFull(RequestError):
    """More texts than the queue takes now."""

    def __init__(self, num_texts: int, num_waiting: int, limit: int) -> None:
        super().__init__(
            f"{num_texts} texts do not fit behind {num_waiting} waiting, the queue's limit is {limit}"
        )

    def details(self) -> list[message.Message]:
        """A RetryInfo."""
        seconds = int(RETRY_SECONDS)
        delay = duration_pb2.Duration(seconds=seconds, nanos=int((RETRY_SECONDS - seconds) * 1e9))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]


class Draining(RequestError):
    """The server takes no new work."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class DeadlineExceeded(RequestError):
    """The deadline passed before the translation was done."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the translation was done")


class InternalError(RequestError):
    """The model failed; the log tells more."""


STATUS_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    MalformedRequest: grpc.StatusCode.INVALID_ARGUMENT,
    SourceTooLong: grpc.StatusCode.INVALID_ARGUMENT,
    TextTooLong: grpc.StatusCode.INVALID_ARGUMENT,
    NotServed: grpc.StatusCode.NOT_FOUND,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Draining: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    InternalError: grpc.StatusCode.INTERNAL,
}


def to_status(error: RequestError) -> status_pb2.Status:
    """An error as google.rpc.Status, details packed."""
    packed = []
    for detail in error.details():
        value = any_pb2.Any()
        value.Pack(detail)
        packed.append(value)
    code = code_pb2.Code.Value(STATUS_CODES[type(error)].name)
    return status_pb2.Status(code=code, message=str(error), details=packed)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: RequestError) -> NoReturn:
    """End a call with an error, its google.rpc.Status in the trailing metadata beside what is set there."""
    details = ("grpc-status-details-bin", to_status(error).SerializeToString())
    trailing = (*(context.trailing_metadata() or ()), details)
    await context.abort(STATUS_CODES[type(error)], str(error), trailing)
    raise AssertionError("abort returned")
