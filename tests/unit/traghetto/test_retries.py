"""Whether and when a call is tried again, without network and without a clock."""

from __future__ import annotations

import random

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from traghetto.failures import Failure, Kind, failure_of
from traghetto.retries import Retries, RetryBudget, RetryPolicy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
STOPPING = Failure(code=UNAVAILABLE, message="the server is stopping", status=status_pb2.Status(code=14))
NO_SERVER = Failure(code=UNAVAILABLE, message="failed to connect to all addresses; last error: ...")
NO_BACKEND = Failure(code=UNAVAILABLE, message="connections to all backends failing; last error: ...")
STREAM_LIMIT = Failure(
    code=UNAVAILABLE, message="Stream removed (RST_STREAM (Received RST_STREAM with error code 7))"
)
CLOSING = Failure(code=grpc.StatusCode.CANCELLED, message="")
CLOSED_HERE = Failure(code=grpc.StatusCode.CANCELLED, message="Channel closed!")
DIED = Failure(code=UNAVAILABLE, message="recvmsg:Connection reset by peer")
DAMAGED = Failure(code=grpc.StatusCode.UNKNOWN, message="Stream removed (Unwrap failed (TSI_DATA_CORRUPTED))")
FAULT = Failure(code=grpc.StatusCode.INTERNAL, message="a fault of the server")


def busy(seconds: float) -> Failure:
    detail = any_pb2.Any()
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=8, details=[detail])
    return Failure(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="full", status=status)


def longest(low: float, high: float) -> float:
    """The longest wait that may be drawn."""
    return high


def make_retries(policy: RetryPolicy | None = None, budget: RetryBudget | None = None) -> Retries:
    return Retries(policy=policy or RetryPolicy(), budget=budget or RetryBudget(), uniform=longest)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (busy(1), Kind.BUSY),
        (Failure(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="too large"), Kind.FINAL),
        (STOPPING, Kind.REFUSED),
        (NO_SERVER, Kind.UNREACHED),
        (NO_BACKEND, Kind.UNREACHED),
        (CLOSING, Kind.REFUSED),
        (STREAM_LIMIT, Kind.REFUSED),
        (CLOSED_HERE, Kind.FINAL),
        (DIED, Kind.DIED),
        (DAMAGED, Kind.DIED),
        (FAULT, Kind.FINAL),
        (Failure(code=grpc.StatusCode.DEADLINE_EXCEEDED, message=""), Kind.FINAL),
    ],
)
def test_a_failure_says_what_another_try_is_worth(failure: Failure, kind: Kind) -> None:
    assert failure.kind is kind


def test_a_server_that_refuses_is_followed_by_the_next_ever_more_slowly() -> None:
    retries = make_retries()
    waits = [retries.wait_after(STOPPING) for _ in range(5)]
    assert waits == [0.1, 0.2, 0.4, 0.8, None]


def test_a_server_that_never_was_is_soon_given_up_and_costs_no_budget() -> None:
    budget = RetryBudget(capacity=1)
    retries = make_retries(budget=budget)
    assert [retries.wait_after(NO_SERVER) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, None]
    assert budget.take()


def test_a_server_that_was_there_is_waited_for_as_long_as_the_call_has() -> None:
    retries = Retries(policy=RetryPolicy(), budget=RetryBudget(0), uniform=longest, is_known=True)
    waits = [retries.wait_after(NO_BACKEND) for _ in range(100)]
    assert waits[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert waits[-1] == RetryPolicy().max_wait_seconds


def test_a_pushback_of_grpc_is_honoured_like_a_retry_info() -> None:
    full = failure_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", [("grpc-retry-pushback-ms", "1500")])
    assert full.kind is Kind.BUSY
    assert make_retries().wait_after(full) == pytest.approx(1.6)
    refused = Failure(code=UNAVAILABLE, message="", status=status_pb2.Status(code=14), pushback_ms=700)
    assert make_retries().wait_after(refused) == pytest.approx(0.7)


@pytest.mark.parametrize("pushback", ["-1", "soon"])
def test_a_pushback_that_forbids_another_try_is_honoured(pushback: str) -> None:
    full = failure_of(UNAVAILABLE, "failed to connect", [("grpc-retry-pushback-ms", pushback)])
    assert full.kind is Kind.FINAL


def test_a_call_whose_connection_died_is_tried_once_more() -> None:
    retries = make_retries()
    assert retries.wait_after(DIED) is not None
    assert retries.wait_after(STOPPING) is not None  # a server that did not begin with it does not count
    assert retries.wait_after(DIED) is None


def test_after_two_deaths_no_refusal_is_followed_either() -> None:
    retries = make_retries(RetryPolicy(max_deaths=1))
    assert retries.wait_after(DIED) is None
    assert retries.wait_after(STOPPING) is None


def test_a_busy_server_is_waited_for_as_long_as_it_says_and_a_little_more() -> None:
    retries = make_retries()
    waits = [retries.wait_after(busy(1.5)) for _ in range(50)]
    assert waits[:3] == pytest.approx([1.6, 1.7, 1.9])
    assert waits[-1] == pytest.approx(1.5 + RetryPolicy().max_wait_seconds)


def test_waits_are_drawn_from_nothing_to_the_longest() -> None:
    draw = random.Random(3).uniform
    waits = []
    for _ in range(200):
        wait = Retries(policy=RetryPolicy(), budget=RetryBudget(1000), uniform=draw).wait_after(STOPPING)
        assert wait is not None
        waits.append(wait)
    assert 0 <= min(waits) < 0.01
    assert 0.09 < max(waits) <= 0.1


def test_what_another_try_cannot_mend_has_none() -> None:
    assert make_retries().wait_after(FAULT) is None


def test_a_budget_that_is_spent_ends_retries_until_answers_refill_it() -> None:
    budget = RetryBudget(capacity=2)
    assert make_retries(budget=budget).wait_after(STOPPING) is not None
    assert make_retries(budget=budget).wait_after(DIED) is not None
    assert make_retries(budget=budget).wait_after(STOPPING) is None
    assert make_retries(budget=budget).wait_after(busy(1)) is not None  # the server says when
    for _ in range(10):
        budget.refund()
    assert make_retries(budget=budget).wait_after(STOPPING) is not None
    assert make_retries(budget=budget).wait_after(STOPPING) is None


def test_a_budget_never_holds_more_than_at_first() -> None:
    budget = RetryBudget(capacity=1)
    for _ in range(100):
        budget.refund()
    assert [budget.take(), budget.take()] == [True, False]
