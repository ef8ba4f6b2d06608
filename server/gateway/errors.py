"""What goes wrong with an HTTP request, and the one table of HTTP codes for those of gRPC."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2

from server.gateway.upstream import CallFailed

# As google/rpc/code.proto maps them, and Envoy's transcoder does.
HTTP_CODES: Mapping[int, int] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}

# Of what the gateway itself refuses; all else is INVALID_ARGUMENT.
_CODES: Mapping[int, int] = {
    401: code_pb2.UNAUTHENTICATED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    429: code_pb2.RESOURCE_EXHAUSTED,
    500: code_pb2.INTERNAL,
    503: code_pb2.UNAVAILABLE,
}


class RequestRefused(Exception):
    """A request that the gateway itself refuses.

    Args:
        http_code: Its HTTP status code.
        message: What is wrong, with the value and the limit.
        field: The field of the body or query that is wrong; None if it is none.
    """

    def __init__(self, http_code: int, message: str, *, field: str | None = None) -> None:
        super().__init__(message if field is None else f"{field}: {message}")
        self.http_code, self.description, self.field = http_code, message, field

    @property
    def status(self) -> status_pb2.Status:
        """The error as google.rpc.Status."""
        status = status_pb2.Status(
            code=_CODES.get(self.http_code, code_pb2.INVALID_ARGUMENT), message=str(self)
        )
        if self.field is not None:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=self.field, description=self.description
            )
            status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
        return status


Refusal = CallFailed | RequestRefused


def http_code_of(error: Refusal) -> int:
    """The HTTP status code of an error; 413 for a message that is larger than one may be."""
    if isinstance(error, RequestRefused):
        return error.http_code
    code: int = error.failure.code.value[0]
    if code == code_pb2.RESOURCE_EXHAUSTED and error.failure.retry_after_seconds is None:
        return 413
    return HTTP_CODES.get(code, 500)


def headers_of(error: Refusal) -> dict[str, str]:
    """Retry-After in whole seconds, as RFC 9110 has it, where the server says when to come back."""
    if isinstance(error, RequestRefused):
        return {}
    headers = {}
    if (seconds := error.failure.retry_after_seconds) is not None:
        headers["retry-after"] = str(max(1, math.ceil(seconds)))
    if error.failure.code.value[0] == code_pb2.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return headers


def status_dict(status: status_pb2.Status) -> dict[str, Any]:
    """A google.rpc.Status for JSON; a detail of a kind that is not known here keeps its bytes, in base64."""
    plain = {"code": status.code, "message": status.message}
    details = [_detail_dict(detail) for detail in status.details]
    return plain | ({"details": details} if details else {})


def _detail_dict(detail: any_pb2.Any) -> dict[str, Any]:
    try:
        return json_format.MessageToDict(detail)
    except TypeError:
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}
