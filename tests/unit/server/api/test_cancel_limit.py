"""Who may cancel how many calls, and what becomes of the connection of one who cancels more."""

from __future__ import annotations

import logging

import pytest

from server.api import cancel_limit
from server.api.cancel_limit import CancelLimit
from server.telemetry.metrics import Metrics

PEER, OTHER = "ipv4:10.0.0.7:1001", "ipv4:10.0.0.7:1002"
STRANGER = "ipv4:10.0.0.8:1001"


class Watched:
    """A limit of 60 calls a minute, with a clock and connections that a test can see."""

    def __init__(self, max_calls: int | None = 60) -> None:
        self.now = 1000.0
        self.closed: list[str] = []
        self.open = {PEER, OTHER, STRANGER}
        self.metrics = Metrics()
        counter = self.metrics.closed_connections
        self.limit = CancelLimit(max_calls, counter, close=self._close, now=lambda: self.now)

    def _close(self, peer: str) -> bool:
        self.closed.append(peer)
        return peer in self.open

    def cancel(self, peer: str, times: int) -> None:
        for _ in range(times):
            self.limit.cancelled(peer)

    @property
    def count(self) -> float:
        (family,) = self.metrics.closed_connections.collect()
        return family.samples[0].value


def test_one_call_more_than_the_limit_closes_the_connection_that_cancelled_it() -> None:
    watched = Watched()
    watched.cancel(PEER, 30)
    watched.cancel(OTHER, 30)
    assert watched.closed == []
    watched.cancel(OTHER, 1)
    assert watched.closed == [OTHER]
    assert watched.count == 1
    watched.cancel(STRANGER, 60)
    assert watched.closed == [OTHER]


def test_calls_that_a_closed_connection_left_behind_close_nothing_again() -> None:
    watched = Watched()
    watched.cancel(PEER, 500)
    assert watched.closed == [PEER]
    watched.cancel(OTHER, 1)  # it comes again
    assert watched.closed == [PEER, OTHER]


def test_time_forgives_all_within_a_minute_however_many_they_were() -> None:
    watched = Watched()
    watched.cancel(PEER, 5000)
    watched.now += 60
    watched.cancel(OTHER, 60)
    assert watched.closed == [PEER]


def test_each_call_that_is_let_end_makes_up_for_one() -> None:
    watched = Watched()
    for _ in range(500):
        watched.cancel(PEER, 1)
        watched.limit.answered(OTHER)
    watched.cancel(PEER, 60)
    assert watched.closed == []


def test_what_is_no_connection_any_more_is_not_counted() -> None:
    watched = Watched()
    watched.open.clear()
    watched.cancel(PEER, 100)
    assert (watched.closed, watched.count) == ([PEER], 0)


def test_without_a_limit_nothing_is_closed() -> None:
    watched = Watched(max_calls=None)
    watched.cancel(PEER, 5000)
    assert watched.closed == []


def test_the_log_names_an_address_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    caplog.set_level(logging.WARNING)
    for peer in (PEER, OTHER):
        watched.cancel(peer, 100)
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "closed a connection of ipv4:10.0.0.7"
    ]
    watched.now += 60
    watched.limit.cancelled(PEER)
    watched.open.add("ipv4:10.0.0.7:1003")
    watched.cancel("ipv4:10.0.0.7:1003", 100)
    assert len(caplog.records) == 2


def test_addresses_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel_limit, "_MAX_ADDRESSES", 10)
    monkeypatch.setattr(cancel_limit, "_MAX_CLOSED", 10)
    watched = Watched()
    for i in range(100):
        watched.cancel(f"ipv4:10.0.1.{i}:1", 1)
    for port in range(100):
        watched.cancel(f"ipv4:10.0.0.7:{port}", 100)
    assert len(watched.limit._addresses) == 10
    assert max(len(cancels.closed) for cancels in watched.limit._addresses.values()) <= 10
