"""Whether, and when, a call that failed is tried again; knows no network and no clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from traghetto.failures import Failure, Kind

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Limits on tries.

    The wait before the n-th further try, n from 0, is drawn between 0 and min(max_wait, first_wait * 2^n):
    full jitter, so that the callers of a lost server do not come back at once. A busy server says when to
    come back; to that the same draw is added. A full queue is waited for until the deadline, and so is a
    server that this client has had an answer from and cannot reach now: it may be starting again. An address
    where there never was one is given up sooner, for it may be wrong.

    Args:
        max_refusals: Servers that may refuse a call, one after the other, before it fails; and tries to reach
            one where there never was one.
        max_deaths: Connections that may die with a call. A further try of one that kills its server kills the
            next one; so there is one, and no more.

    Source of the jitter: Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog.
    """

    first_wait_seconds: float = 0.1
    max_wait_seconds: float = 2.0
    max_refusals: int = 5
    max_deaths: int = 2


class RetryBudget:
    """Bounds the further tries of all calls of a client, so that an outage does not multiply its load.

    Each try after a server that refused or died takes one from the budget, each answer gives a tenth back.
    Waiting takes nothing: a busy server says when to come back, and a call without a connection is not even
    sent. For use from any thread.

    Args:
        capacity: Further tries that a client has at first, and at most.
    """

    def __init__(self, capacity: int = 100) -> None:
        self._lock = threading.Lock()
        self._capacity = 10 * capacity
        self._tenths = self._capacity

    def take(self) -> bool:
        """Take one; False if there is none."""
        with self._lock:
            if self._tenths < 10:
                return False
            self._tenths -= 10
            return True

    def refund(self) -> None:
        """Give a tenth of one back, for an answer."""
        with self._lock:
            self._tenths = min(self._tenths + 1, self._capacity)


@dataclass(kw_only=True)
class Retries:
    """The failures of one call so far.

    >>> import grpc
    >>> from traghetto.failures import failure_of
    >>> retries = Retries(policy=RetryPolicy(), budget=RetryBudget(), uniform=max)
    >>> lost = failure_of(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", ())
    >>> [retries.wait_after(lost) for _ in range(6)]
    [0.1, 0.2, 0.4, 0.8, None, None]
    >>> retries.is_known = True
    >>> retries.wait_after(lost)
    2.0

    Args:
        is_known: Whether the client has had any word from a server at this address.
        uniform: Draws a number between two others, such as `random.uniform`.
    """

    policy: RetryPolicy
    budget: RetryBudget
    uniform: Uniform
    is_known: bool = False
    _counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def wait_after(self, failure: Failure) -> float | None:
        """Seconds to wait before the next try; None if there is none."""
        kind = failure.kind
        self._counts[kind] += 1
        wait = self.uniform(0.0, self._longest_wait(self._counts[kind] - 1))
        match kind:
            case Kind.BUSY:
                return (failure.retry_after_seconds or 0.0) + wait
            case Kind.UNREACHED if self.is_known or self._counts[kind] < self.policy.max_refusals:
                return wait
            case Kind.REFUSED | Kind.DIED if self._is_within_limits() and self.budget.take():
                return max(wait, failure.retry_after_seconds or 0.0)
            case _:
                return None

    def _is_within_limits(self) -> bool:
        return (
            self._counts[Kind.REFUSED] < self.policy.max_refusals
            and self._counts[Kind.DIED] < self.policy.max_deaths
        )

    def _longest_wait(self, exponent: int) -> float:
        policy = self.policy
        # Beyond 2^30 of any first wait the maximum has long been reached.
        return min(policy.max_wait_seconds, policy.first_wait_seconds * 2.0 ** min(exponent, 30))
