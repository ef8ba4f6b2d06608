"""Everything that can go wrong with a request: each error carries its figures, and knows no protocol.

RequestError
├── InvalidRequest        a field breaks a rule; lists every violation
├── MalformedRequest      the bytes are no request at all
├── SourceTooLong         one text has too many tokens
├── TextTooLong           one text has too many characters to count its tokens
├── NothingToScore        a source has nothing to translate
├── TargetTooLong         a translation that is to be scored has too many tokens
├── LanguageUnsure        one text may be in any of several languages
├── NotServed             no such model, or no model for the pair
│   └── NotAllowed            there is, but not for that tenant
├── Unauthenticated       nobody knows who calls
├── PermissionDenied      the tenant may not do that
├── QuotaExceeded         the tenant has used up one of its quotas
├── QueueFull             the server sheds load
├── Overloaded            the deadline would pass before it was done
├── NoModelMemory         the model is not in memory, and others that are in use leave it no room
├── ModelUnloadable       the model is not in memory, and cannot be loaded
├── ModelChanged          the model is not in memory, and its folder holds another by now
├── Draining              the server is stopping
├── DeadlineExceeded      the client's deadline passed
│   └── TimeLimitExceeded     or, where it set none, the server's time limit
└── InternalError         the model failed

What gRPC makes of each stands in `server/api/status.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RETRY_SECONDS = 1.0
_LEAST_RETRY_SECONDS, _MOST_RETRY_SECONDS = 0.05, 30.0
# A client ends a late call itself, and that may arrive a moment before the deadline on our clock.
DEADLINE_MARGIN_SECONDS = 0.1
_MAX_QUOTED = 64  # characters
_MAX_REASON = 1000


def quoted(value: str) -> str:
    """A client's value for a message: on one line, and cut so that the answer still fits in a header.

    >>> quoted("en")
    "'en'"
    >>> len(quoted("e" * 1_000_000))
    69
    """
    return repr(value if len(value) <= _MAX_QUOTED else value[:_MAX_QUOTED] + "...")


def shortened(message: str) -> str:
    """A reason that fits into a status, which gRPC takes no more than some kilobytes of.

    >>> len(shortened("x" * 5000))
    1003
    """
    return message if len(message) <= _MAX_REASON else message[:_MAX_REASON] + "..."


class RequestError(Exception):
    """A request, or one text of it, that gets an error for an answer; its message is for the client."""


@dataclass(frozen=True)
class Violation:
    """A field of a request and what is wrong with it.

    Args:
        field: Its path in the contract, as options.beam_size.
        description: The value and the limit, as "is 17, must be at least 1 and at most 16".
    """

    field: str
    description: str


class InvalidRequest(RequestError):
    """Fields that break a rule, all of them."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations


class MalformedRequest(RequestError):
    """The message does not parse."""


class SourceTooLong(RequestError):
    """A text of more tokens than the limit; it is never cut."""

    def __init__(self, num_tokens: int, limit: int) -> None:
        super().__init__(f"the text has {num_tokens} tokens, the limit is {limit}")
        self.num_tokens, self.limit = num_tokens, limit


class TextTooLong(RequestError):
    """A text so long that it is not even tokenized."""

    def __init__(self, num_characters: int, limit: int) -> None:
        super().__init__(f"the text has {num_characters} characters, the limit is {limit}")
        self.num_characters, self.limit = num_characters, limit


class NothingToScore(RequestError):
    """A source of which a model reads nothing: no translation of it has a probability."""

    def __init__(self) -> None:
        super().__init__("the text has nothing to translate: its translation has no probability")


class TargetTooLong(RequestError):
    """A translation of more tokens than the limit, which is to be scored."""

    def __init__(self, num_tokens: int, limit: int) -> None:
        super().__init__(f"the translation has {num_tokens} tokens, the limit is {limit}")
        self.num_tokens, self.limit = num_tokens, limit


class LanguageUnsure(RequestError):
    """A text whose language cannot be told with enough confidence.

    Args:
        candidates: The likeliest languages with their shares, from 0 to 1.
    """

    def __init__(self, candidates: Sequence[tuple[str, float]]) -> None:
        likely = ", ".join(f"{language} ({share:.2f})" for language, share in candidates)
        super().__init__(f"the language of the text is unsure: it may be {likely}; name source_language")
        self.candidates = candidates


class NotServed(RequestError):
    """No such model or pair.

    Args:
        resource_type: What is missing: model or language_pair.
        resource_name: Which one, quoted as the client wrote it.
        description: The message: it names what is served instead.
    """

    def __init__(self, resource_type: str, resource_name: str, description: str) -> None:
        super().__init__(description)
        self.resource_type, self.resource_name, self.description = resource_type, resource_name, description


class NotAllowed(NotServed):
    """A model or pair that is served, but not to the tenant that asks for it."""

    def __init__(self, tenant: str, resource_type: str, resource_name: str, description: str) -> None:
        super().__init__(resource_type, resource_name, description)
        self.tenant = tenant


class Unauthenticated(RequestError):
    """A call whose credential is missing or not good; its message quotes nothing of it."""


class PermissionDenied(RequestError):
    """What a tenant may not do."""

    def __init__(self, tenant: str, what: str) -> None:
        super().__init__(f"tenant {tenant!r} may not {what}")
        self.tenant = tenant


class QuotaExceeded(RequestError):
    """A tenant has used up a quota.

    Args:
        quota: Its name in the access file.
        asked: What the call would use.
        used: What is used already.
        retry_seconds: Until the same call fits; None if it never will.
    """

    def __init__(
        self, tenant: str, quota: str, *, asked: int, used: int, limit: int, retry_seconds: float | None
    ) -> None:
        rest = f"{used} are used" if retry_seconds is not None else "which no wait will change: send fewer"
        super().__init__(
            f"{quota} of tenant {tenant!r}: the call needs {asked}, the limit is {limit}, {rest}"
        )
        self.tenant, self.quota, self.limit, self.retry_seconds = tenant, quota, limit, retry_seconds


class QueueFull(RequestError):
    """More texts than the queue takes now; the same call may come again after `retry_seconds`."""

    def __init__(self, num_texts: int, num_waiting: int, limit: int) -> None:
        super().__init__(
            f"{num_texts} texts do not fit behind {num_waiting} waiting, the queue's limit is {limit}"
        )
        self.num_texts, self.num_waiting, self.limit = num_texts, num_waiting, limit
        self.retry_seconds = RETRY_SECONDS


class Overloaded(RequestError):
    """The model has so much to do that this call would be late: it is not begun.

    Args:
        expected_seconds: Until it would be done.
        left_seconds: Until its deadline.
        retry_seconds: Until there may be room for such a call.
    """

    def __init__(self, expected_seconds: float, left_seconds: float, retry_seconds: float) -> None:
        super().__init__(
            f"the translation is expected to take {expected_seconds:.3g} s behind what was asked for before, "
            f"the deadline is in {left_seconds:.3g} s"
        )
        self.expected_seconds, self.left_seconds = expected_seconds, left_seconds
        self.retry_seconds = min(max(retry_seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS)


class NoModelMemory(RequestError):
    """A model cannot be loaded beside those that are in use; the same call may come again.

    Args:
        message: What the model needs and what is free.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}: the other models are in use")
        self.retry_seconds = RETRY_SECONDS


class ModelUnloadable(RequestError):
    """A model cannot be loaded, until somebody mends its artifact or the server's configuration."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model {name!r} cannot be loaded: {shortened(reason)}")


class ModelChanged(RequestError):
    """The folder of a model that is to be loaded holds another artifact, which nobody has told to serve."""

    def __init__(self, name: str) -> None:
        super().__init__(f"model {name!r} is being replaced by another version, which is not served yet")


class Draining(RequestError):
    """The server takes no new work."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class DeadlineExceeded(RequestError):
    """The deadline passed before the translation was done.

    Args:
        was_queued: False if it had passed before any text of the call could wait for the model.
    """

    def __init__(self, *, was_queued: bool = True) -> None:
        super().__init__("the deadline passed before the translation was done")
        self.was_queued = was_queued


class TimeLimitExceeded(DeadlineExceeded):
    """A call without a deadline took longer than the server allows.

    Args:
        limit_seconds: The server's limit.
    """

    def __init__(self, limit_seconds: float, *, was_queued: bool = True) -> None:
        RequestError.__init__(
            self,
            f"the call set no deadline, and was not done in the server's time limit of {limit_seconds:g} s",
        )
        self.limit_seconds, self.was_queued = limit_seconds, was_queued


class InternalError(RequestError):
    """The model failed; the log tells more."""
