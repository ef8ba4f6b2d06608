"""Quotas: no minute has more than its limit, and what is refused says when it fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.admission import current_admission, room_for_texts
from server.access.quotas import Ledger, Window
from server.access.tenant import REQUESTS, TEXTS, TOKENS, Tenant
from server.errors import QuotaExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        return self.now


def tenant(**limits: int) -> Tenant:
    return Tenant(name="shop", limits=limits)


def refusal(action: Callable[[], object]) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        action()
    return caught.value


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 12)), max_size=60),
    st.integers(1, 20),
)
def test_no_minute_has_more_than_its_limit_and_the_wait_that_is_named_is_enough(
    steps: list[tuple[float, int]], limit: int
) -> None:
    window, now, taken = Window(), 0.0, []
    for pause, amount in steps:
        now += pause
        if window.used(now) + amount > limit:
            if amount <= limit:
                wait = window.seconds_until(amount, limit, now)
                assert wait > 0
                assert window.used(now + wait) + amount <= limit  # and `used` forgot what is over by then
                now += wait
            else:
                continue
        window.add(amount, now)
        taken.append((now, amount))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= limit


def test_requests_are_refused_by_name_with_the_time_until_they_fit() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    shop = tenant(requests_per_minute=2)
    for _ in range(2):
        ledger.open(shop).count_request()
    error = refusal(ledger.open(shop).count_request)
    assert (error.quota, error.retry_seconds) == (REQUESTS, 60.75)
    assert str(error) == "requests_per_minute of tenant 'shop': the call needs 1, the limit is 2, 2 are used"
    clock.now += 60.75
    ledger.open(shop).count_request()


def test_tokens_that_no_model_worked_on_are_given_back() -> None:
    ledger, shop = Ledger(Clock()), tenant(tokens_per_minute=10)
    call = ledger.open(shop)
    call.charge(7)
    assert refusal(lambda: ledger.open(shop).charge(4)).quota == TOKENS
    call.refund()
    assert call.num_tokens == 0
    ledger.open(shop).charge(10)


def test_tokens_that_a_model_worked_on_are_not_given_back() -> None:
    """A stream that runs into its quota is shed as a whole: what it was answered stays charged."""
    ledger, shop = Ledger(Clock()), tenant(tokens_per_minute=10)
    call = ledger.open(shop)
    call.settle(call.charge(7))
    call.charge(2)
    call.refund()
    assert call.num_tokens == 7
    assert refusal(lambda: ledger.open(shop).charge(4)).quota == TOKENS
    ledger.open(shop).charge(3)


@pytest.mark.parametrize("quota", [TOKENS, TEXTS])
def test_what_is_larger_than_its_quota_is_not_told_to_wait(quota: str) -> None:
    call = Ledger(Clock()).open(tenant(**{quota: 10}))
    error = refusal(lambda: call.charge(11) if quota == TOKENS else call.hold(11))
    assert error.retry_seconds is None
    assert "no wait will change" in str(error)


def test_texts_make_room_when_their_call_ends_however_often_it_says_so() -> None:
    ledger, shop = Ledger(Clock()), tenant(concurrent_texts=3)
    call = ledger.open(shop)
    call.hold(3)
    assert refusal(lambda: ledger.open(shop).hold(1)).quota == TEXTS
    call.leave()
    call.leave()
    ledger.open(shop).hold(3)
    assert refusal(lambda: ledger.open(shop).hold(1)).retry_seconds == 1.0


def test_new_limits_forgive_nothing_and_tenants_do_not_share() -> None:
    ledger = Ledger(Clock())
    ledger.open(tenant(requests_per_minute=9)).count_request()
    assert refusal(ledger.open(tenant(requests_per_minute=1)).count_request).quota == REQUESTS
    ledger.open(Tenant(name="other", limits={REQUESTS: 1})).count_request()


def test_texts_of_a_stream_wait_for_room_and_no_more_of_them_count_than_may_be_there() -> None:
    ledger = Ledger()
    shop = tenant(**{TEXTS: 8})

    async def work() -> list[str]:
        order: list[str] = []
        current_admission.set(ledger.open(shop))

        async def part(name: str, num_texts: int) -> None:
            async with room_for_texts(num_texts):
                order.append(f"{name} begins")
                await asyncio.sleep(0)
                order.append(f"{name} ends")

        await asyncio.gather(part("large", 100), part("small", 1))
        return order

    assert asyncio.run(work()) == ["large begins", "large ends", "small begins", "small ends"]
    ledger.open(shop).hold(8)
