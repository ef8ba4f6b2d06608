"""Whose turn it is."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.sequence import Beam, SequenceRequest
from server.work.fair_order import FairOrder, Flow, Priority

_ids = itertools.count()


def add(order: FairOrder, client: str, call: int = 0, work: float = 1.0, **fields: Priority) -> int:
    request = SequenceRequest(
        sequence_id=next(_ids), source=(3,), method=Beam(beam_size=1), length_penalty=1.0, max_target_tokens=9
    )
    order.add(request, Flow(client=client, call=call, **fields), work)
    return request.sequence_id


def pop(order: FairOrder, *priorities: Priority) -> int:
    request = order.pop(priorities or tuple(Priority))
    assert request is not None
    return request.sequence_id


def test_a_call_keeps_its_order() -> None:
    order = FairOrder()
    ids = [add(order, "a") for _ in range(5)]
    assert [pop(order) for _ in ids] == ids
    assert (len(order), order.pop()) == (0, None)


def test_calls_of_one_text_each_of_one_client_come_first_come_first_served() -> None:
    order = FairOrder()
    ids = [add(order, "a", call) for call in range(5)]
    assert [pop(order) for _ in ids] == ids


def test_one_text_waits_for_one_of_a_thousand_and_not_for_all() -> None:
    order = FairOrder()
    crowd = [add(order, "crowd", work=10) for _ in range(1000)]
    assert [pop(order) for _ in range(50)] == crowd[:50]
    single = add(order, "single", work=10)
    assert single in [pop(order), pop(order)]
    other_call = add(order, "crowd", call=1, work=10)
    assert other_call in [pop(order), pop(order)], "of the same client too"


def test_clients_share_in_tokens_and_not_in_texts() -> None:
    order = FairOrder()
    long, short = ([add(order, name, work=work) for _ in range(400)] for name, work in (("l", 40), ("s", 4)))
    served = [pop(order) for _ in range(110)]
    assert sum(i in set(short) for i in served) == pytest.approx(100, abs=2)
    assert sum(i in set(long) for i in served) == pytest.approx(10, abs=2)


def test_the_rest_of_a_call_is_not_starved_by_ever_new_calls() -> None:
    order = FairOrder()
    pair = [add(order, "a", call=0) for _ in range(2)]
    served: list[int] = []
    for call in range(1, 20):
        add(order, "a", call)
        served.append(pop(order))
    assert set(pair) <= set(served)


def test_who_comes_back_has_no_claim_to_what_it_did_not_ask_for() -> None:
    order = FairOrder()
    add(order, "late")
    early = [add(order, "early") for _ in range(200)]
    for _ in range(101):
        pop(order)
    late = [add(order, "late") for _ in range(100)]
    served = [pop(order) for _ in range(20)]
    assert sum(i in set(late) for i in served) == pytest.approx(10, abs=1)
    assert sum(i in set(early) for i in served) == pytest.approx(10, abs=1)


def test_bulk_gets_a_little_beside_others_and_all_without_them() -> None:
    order = FairOrder()
    bulk = {add(order, "b", priority=Priority.BULK) for _ in range(500)}
    interactive = {add(order, f"i{i}") for i in range(160)}
    served = [pop(order) for _ in range(170)]
    assert len(interactive & set(served)) == pytest.approx(160, abs=1)
    assert {pop(order) for _ in range(20)} <= bulk
    assert (order.num_waiting(Priority.BULK), order.num_waiting(Priority.INTERACTIVE)) == (470, 0)


def test_a_kind_may_be_left_out() -> None:
    order = FairOrder()
    add(order, "b", priority=Priority.BULK)
    assert order.pop((Priority.INTERACTIVE,)) is None
    single = add(order, "a")
    assert pop(order, Priority.INTERACTIVE) == single


@given(
    weights=st.lists(st.sampled_from([0.001, 0.1, 0.5, 1.0, 3.0, 8.0, 1000.0]), min_size=2, max_size=5),
    works=st.lists(st.integers(1, 200), min_size=1, max_size=20),
    num_served=st.integers(1, 300),
)
def test_clients_that_always_want_more_are_served_in_proportion_to_their_weights(
    weights: list[float], works: list[int], num_served: int
) -> None:
    """No client is ahead of another by more than one request, in tokens for its weight."""
    order = FairOrder({str(i): weight for i, weight in enumerate(weights)})
    owners: dict[int, tuple[int, int]] = {}
    following = [
        itertools.cycle(works[i % len(works) :] + works[: i % len(works)]) for i in range(len(weights))
    ]

    def ask(client: int) -> None:
        work = next(following[client])
        owners[add(order, str(client), work=work)] = (client, work)

    had = [0.0] * len(weights)
    for client in [*range(len(weights))] * 2:
        ask(client)
    for _ in range(num_served):
        client, work = owners[pop(order)]
        had[client] += work / weights[client]
        ask(client)
    for i, j in itertools.permutations(range(len(weights)), 2):
        assert had[i] - had[j] <= max(works) / weights[i] + 1e-6


def test_weights_are_among_clients_of_a_priority_and_others_have_1() -> None:
    order = FairOrder({"heavy": 3.0})
    heavy, other, bulk = set[int](), set[int](), set[int]()
    for _ in range(100):
        heavy.add(add(order, "heavy"))
        other.add(add(order, "other"))
        bulk.add(add(order, "heavy", priority=Priority.BULK))
    served = {pop(order) for _ in range(85)}
    assert len(served & heavy) == pytest.approx(60, abs=2)
    assert len(served & other) == pytest.approx(20, abs=2)
    assert len(served & bulk) == pytest.approx(5, abs=1)


def test_debts_count_by_weight_too() -> None:
    """What a client of weight 4 took beyond what was expected keeps it waiting a quarter as long."""

    def num_served_before(weight: float) -> int:
        order = FairOrder({"greedy": weight})
        for _ in range(200):
            add(order, "other")
        pop(order)
        order.charge(Flow(client="greedy", call=0), 80)
        greedy = add(order, "greedy")
        return next(i for i in itertools.count() if pop(order) == greedy)

    assert num_served_before(4.0) == pytest.approx(num_served_before(1.0) / 4, abs=3)


def test_nobody_is_lost_or_served_twice() -> None:
    chance = random.Random(3)
    order, waiting, served = FairOrder(), set[int](), list[int]()
    for _ in range(3000):
        choice = chance.random()
        if choice < 0.5 or not waiting:
            priority = chance.choice(list(Priority))
            client, call, work = f"c{chance.randrange(5)}", chance.randrange(9), chance.uniform(1, 50)
            waiting.add(add(order, client, call, work, priority=priority))
        elif choice < 0.6:
            removed = chance.choice(sorted(waiting))
            assert order.remove(removed)
            assert not order.remove(removed)
            waiting.remove(removed)
        else:
            served.append(pop(order))
            waiting.remove(served[-1])
        assert len(order) == len(waiting)
    assert len(served) == len(set(served))


def test_what_a_client_took_beyond_what_was_expected_is_charged() -> None:
    """One that is thought to be cheap and is not; charged while it waits, and when it comes back."""
    order = FairOrder()
    for _ in range(100):
        add(order, "honest", work=10)
        add(order, "cheap", work=1)
    served = {"honest": 0.0, "cheap": 0.0}
    for _ in range(60):
        request = order.pop()
        assert request is not None
        name = "honest" if request.sequence_id % 2 == 0 else "cheap"
        served[name] += 10
        if name == "cheap":
            order.charge(Flow(client="cheap", call=0), 9)
    assert served["honest"] == pytest.approx(served["cheap"], rel=0.1)


def test_a_client_that_leaves_in_debt_comes_back_in_debt() -> None:
    order = FairOrder()
    others = [add(order, "others", work=1) for _ in range(50)]
    greedy = add(order, "greedy", work=40)
    first = [pop(order) for _ in range(2)]
    assert greedy in first
    again = add(order, "greedy", work=40)
    assert again not in [pop(order) for _ in range(15)]
    assert set(first) - {greedy} <= set(others)


def test_nothing_is_kept_of_what_is_over() -> None:
    order = FairOrder()
    for i in range(5000):
        add(order, f"c{i}", call=i, work=3)
        pop(order)
    for i in range(5000):
        assert order.remove(add(order, "c", call=i))
    root = order._root
    assert not root.children
    assert len(root.order) == 0
    assert len(root.debts) < 300
