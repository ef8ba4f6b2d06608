"""What the client raises.

    TraghettoError
    ├── TlsError(faults)                  files that cannot serve for TLS
    ├── TokenError                        a token that is none, or that others could read
    ├── InvalidText(index)                a text that is no Unicode
    └── CallError(code, message)          a call failed as a whole
        ├── InvalidArgument(violations)   the request breaks rules, all of which are listed
        ├── NotServed(resource)           no such model, or no model for the language pair
        ├── ServerBusy(retry_after_seconds)
        │                                 the queue stayed full until the deadline
        ├── QuotaExceeded(quota, retry_after_seconds)
        │                                 a quota of the caller is used up until after the deadline
        ├── MessageTooLarge               request or answer is larger than a message may be
        ├── ServerUnavailable(proxy)      no server took the call
        ├── DeadlineExceeded(timeout_seconds)
        │                                 the answer did not come in time
        └── ServerFault                   a fault of the server; its log tells more

Beside these, a value of a wrong type is a TypeError, and a number that no field takes a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc


class TraghettoError(Exception):
    """The root of all errors of the client."""


class TlsError(TraghettoError, ValueError):
    """Files that cannot serve for TLS.

    Args:
        faults: What is wrong with each file.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class TokenError(TraghettoError, ValueError):
    """A token that is none, or that others could read; it is not quoted."""


class InvalidText(TraghettoError, ValueError):
    """A text that cannot be sent, for it holds half of a surrogate pair.

    Args:
        index: Place of the text among those of the call, from 0.
        position: Place of the character in the text, from 0.
        character: The surrogate.
    """

    def __init__(self, index: int, position: int, character: str) -> None:
        super().__init__(
            f"texts[{index}] is no Unicode text: character {position} is the surrogate {character!a}"
        )
        self.index, self.position, self.character = index, position, character


class CallError(TraghettoError):
    """A call failed as a whole.

    Args:
        code: gRPC's status code.
        message: What the server said of it, or gRPC where no server answered.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A field of the request and the rule that it breaks."""

    field: str
    description: str


class InvalidArgument(CallError):
    """The request breaks rules.

    Args:
        violations: Every one of them; empty if the request could not even be read.
    """

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, message)
        self.violations = tuple(violations)


class NotServed(CallError):
    """The server has no such model, or none for the language pair.

    Args:
        resource: The model's name or the pair, as the server calls it; empty if it does not say.
    """

    def __init__(self, message: str, resource: str = "") -> None:
        super().__init__(grpc.StatusCode.NOT_FOUND, message)
        self.resource = resource


class ServerBusy(CallError):
    """The queue is full, and would not have had room within the call's deadline.

    Args:
        retry_after_seconds: When the server asks to come back.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExceeded(CallError):
    """A quota of whoever calls is used up, and would not have had room within the call's deadline.

    Args:
        quota: Its name, such as tokens_per_minute.
        retry_after_seconds: When the server asks to come back; None for a call that is larger than the quota.
    """

    def __init__(self, message: str, quota: str, retry_after_seconds: float | None) -> None:
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        self.quota, self.retry_after_seconds = quota, retry_after_seconds


class MessageTooLarge(CallError):
    """The request or its answer is larger than its receiver accepts: send less at once."""

    def __init__(self, message: str) -> None:
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


class ServerUnavailable(CallError):
    """No server took the call, or the connection died with it.

    Args:
        code: UNAVAILABLE, or CANCELLED from a server that closes its port.
        proxy: The proxy between, as `VARIABLE=URL` without credentials; None without one.
    """

    def __init__(self, code: grpc.StatusCode, message: str, proxy: str | None = None) -> None:
        super().__init__(code, message)
        self.proxy = proxy


class DeadlineExceeded(CallError):
    """The answer did not come within the time for the call and all its tries.

    Args:
        timeout_seconds: The limit.
    """

    def __init__(self, message: str, timeout_seconds: float) -> None:
        super().__init__(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        self.timeout_seconds = timeout_seconds


class ServerFault(CallError):
    """A fault of the server, whose log tells more."""
