"""Closes connections of clients that cancel calls by the thousand.

A call that is cancelled costs its client two frames of HTTP/2, and the server a turn of its event loop,
which nobody else gets (CVE-2023-44487, "rapid reset").
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Counter

from server.api.clients import address_of
from server.api.connections import close_connection

log = logging.getLogger("traghetto.connections")

_WINDOW_SECONDS = 60.0
_AGAIN_SECONDS = 60.0  # after which the log names an address again
_MAX_ADDRESSES = 10_000  # of which something is remembered: those that cancelled last
_MAX_CLOSED = 64  # connections of an address that are remembered


@dataclass(slots=True)
class _Cancels:
    """What an address has cancelled of late.

    Args:
        level: Calls, less those that were answered and those that time has forgiven.
        at: When the level was that, on the monotonic clock.
        named: When the log named the address.
        closed: Connections that were closed; calls that they left behind come to light only later.
    """

    level: float = 0.0
    at: float = 0.0
    named: float = -math.inf
    closed: set[str] = field(default_factory=set)


class CancelLimit:
    """Counts the calls that each address cancels, and closes the connection of one that goes too far.

    Args:
        max_calls: How many an address may cancel in a minute, beside as many as it lets end; None: any.
        closed: Counts the connections that are closed.
        close: Closes the connection of a peer; says whether there was one.
        now: The monotonic clock.
    """

    def __init__(
        self,
        max_calls: int | None,
        closed: Counter,
        close: Callable[[str], bool] = close_connection,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_calls, self._closed, self._close, self._now = max_calls, closed, close, now
        self._addresses: OrderedDict[str, _Cancels] = OrderedDict()

    def answered(self, peer: str) -> None:
        """A call of a peer ended as calls do."""
        if self._addresses and (cancels := self._addresses.get(address_of(peer))) is not None:
            cancels.level = max(0.0, cancels.level - 1)

    def cancelled(self, peer: str) -> None:
        """A peer cancelled a call."""
        if self._max_calls is None:
            return
        address = address_of(peer)
        cancels = self._addresses.setdefault(address, _Cancels())
        self._addresses.move_to_end(address)
        if len(self._addresses) > _MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        now = self._now()
        forgiven = (now - cancels.at) * self._max_calls / _WINDOW_SECONDS
        level = max(0.0, cancels.level - forgiven) + 1
        # No more than the limit, so that whoever stops is forgiven within a minute.
        cancels.level, cancels.at = min(level, self._max_calls), now
        if level > self._max_calls and peer not in cancels.closed:
            self._end(peer, address, cancels)

    def _end(self, peer: str, address: str, cancels: _Cancels) -> None:
        if len(cancels.closed) >= _MAX_CLOSED:
            cancels.closed.clear()
        cancels.closed.add(peer)
        if not self._close(peer):
            return
        self._closed.inc()
        if cancels.at - cancels.named >= _AGAIN_SECONDS:
            cancels.named = cancels.at
            log.warning(
                "closed a connection of %s, and will close more: it cancelled over %d calls in a minute "
                "(--max-cancelled-calls)",
                address,
                self._max_calls,
            )
