"""What tenants have used of their quotas; of the event loop's thread, so that no two calls share a last unit.

No library's limiter is used: those in memory keep an entry for each token, or count by windows at whose edge
twice the limit passes, and forget by threads of their own.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.access.tenant import REQUESTS, TEXTS, TOKENS, Tenant
from server.errors import RETRY_SECONDS, QuotaExceeded

_WINDOW_SECONDS = 60


@dataclass(slots=True)
class Entry:
    """What was used within one second of the clock, which has a number."""

    second: int
    amount: int


class Window:
    """How much was used in the last minute.

    A second counts until a minute after its end, so that no minute, wherever it begins, has more than a
    limit.
    """

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()

    def used(self, now: float) -> int:
        """In the minute before."""
        while self._entries and _end(self._entries[0]) <= now:
            self._entries.popleft()
        return sum(entry.amount for entry in self._entries)

    def seconds_until(self, amount: int, limit: int, now: float) -> float:
        """How long until so much fits below a limit that is not less; 0 if it does now."""
        excess = self.used(now) + amount - limit
        for entry in self._entries:
            if excess <= 0:
                break
            excess -= entry.amount
            if excess <= 0:
                return _end(entry) - now
        return 0.0

    def add(self, amount: int, now: float) -> Entry:
        """Use so much; who takes it back later lessens the entry's amount."""
        second = math.floor(now)
        if not self._entries or self._entries[-1].second != second:
            self._entries.append(Entry(second, 0))
        self._entries[-1].amount += amount
        return self._entries[-1]


def _end(entry: Entry) -> float:
    return entry.second + 1 + _WINDOW_SECONDS


@dataclass(slots=True)
class Usage:
    """Of one tenant."""

    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    num_texts: int = 0  # of calls that are under way


Charge = tuple[Entry, int]  # where it stands, and how much of that


class Admission:
    """One call that was let in: what it uses of its tenant's quotas."""

    def __init__(self, tenant: Tenant, usage: Usage, now: Callable[[], float]) -> None:
        self.tenant, self._usage, self._now = tenant, usage, now
        self._charged: list[Charge] = []  # for what no model has worked on yet
        self._num_settled = 0
        self._num_texts = 0

    @property
    def num_tokens(self) -> int:
        """Source tokens that it was charged."""
        return self._num_settled + sum(amount for _, amount in self._charged)

    def count_request(self) -> None:
        """Use one request.

        Raises:
            QuotaExceeded: the tenant has had all of this minute.
        """
        self._use(REQUESTS, self._usage.requests, 1)

    def charge(self, num_tokens: int) -> Charge:
        """Use source tokens.

        Raises:
            QuotaExceeded: the tenant has not so many left in this minute.
        """
        charge = (self._use(TOKENS, self._usage.tokens, num_tokens), num_tokens)
        self._charged.append(charge)
        return charge

    def settle(self, charge: Charge) -> None:
        """A model has worked on these tokens: they are not given back."""
        self._charged.remove(charge)
        self._num_settled += charge[1]

    def hold(self, num_texts: int) -> None:
        """Use room for texts, until `leave`.

        Raises:
            QuotaExceeded: the tenant has too many under way.
        """
        if not self.has_room(num_texts):
            limit = self.tenant.limits[TEXTS]
            raise QuotaExceeded(
                self.tenant.name,
                TEXTS,
                asked=num_texts,
                used=self._usage.num_texts,
                limit=limit,
                retry_seconds=RETRY_SECONDS if num_texts <= limit else None,
            )
        self._usage.num_texts += num_texts
        self._num_texts += num_texts

    def has_room(self, num_texts: int) -> bool:
        """Whether so many more texts may be under way."""
        limit = self.tenant.limits.get(TEXTS)
        return limit is None or self._usage.num_texts + num_texts <= limit

    def release(self, num_texts: int) -> None:
        """Give the room of some texts back."""
        self._usage.num_texts -= num_texts
        self._num_texts -= num_texts

    def refund(self) -> None:
        """Give the tokens back that no model has worked on."""
        for entry, amount in self._charged:
            entry.amount -= amount
        self._charged.clear()

    def leave(self) -> None:
        """The call is over."""
        self.release(self._num_texts)

    def _use(self, quota: str, window: Window, amount: int) -> Entry:
        now, limit = self._now(), self.tenant.limits.get(quota)
        if limit is not None and (used := window.used(now)) + amount > limit:
            fits = amount <= limit
            raise QuotaExceeded(
                self.tenant.name,
                quota,
                asked=amount,
                used=used,
                limit=limit,
                retry_seconds=window.seconds_until(amount, limit, now) if fits else None,
            )
        return window.add(amount, now)


class Ledger:
    """What all tenants have used, by their names: a new access file changes limits, and forgives nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._usages: dict[str, Usage] = {}

    def open(self, tenant: Tenant) -> Admission:
        """For a call of a tenant that begins now."""
        return Admission(tenant, self._usages.setdefault(tenant.name, Usage()), self._now)
