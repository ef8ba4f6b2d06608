"""Who joins next."""

from __future__ import annotations

from server.engine.scheduler import MAX_ENCODE_TOKENS, MAX_PASSES, Scheduler
from server.engine.sequence import Beam, SequenceRequest


def request(sequence_id: int, num_tokens: int = 5) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=(4,) * num_tokens,
        method=Beam(beam_size=1),
        length_penalty=1.0,
        max_target_tokens=4,
    )


def scheduler_of(*num_tokens: int) -> Scheduler:
    scheduler = Scheduler()
    for sequence_id, count in enumerate(num_tokens):
        scheduler.add(request(sequence_id, count))
    return scheduler


def take(scheduler: Scheduler, free_slots: int) -> list[int]:
    return [taken.sequence_id for taken in scheduler.take(free_slots)]


def test_who_comes_first_is_admitted_first() -> None:
    scheduler = scheduler_of(9, 3, 30, 1, 7)
    assert take(scheduler, 2) == [0, 1]
    scheduler.add(request(5))
    assert take(scheduler, 10) == [2, 3, 4, 5]


def test_no_more_are_taken_than_slots_are_free() -> None:
    scheduler = scheduler_of(5, 5, 5)
    assert take(scheduler, 0) == []
    assert take(scheduler, 2) == [0, 1]
    assert len(scheduler) == 1


def test_the_tokens_of_one_take_stay_within_the_budget() -> None:
    num_tokens = 57
    per_take = MAX_ENCODE_TOKENS // num_tokens
    assert per_take * num_tokens < MAX_ENCODE_TOKENS < (per_take + 1) * num_tokens
    scheduler = scheduler_of(*[num_tokens] * (per_take + 3))
    assert take(scheduler, 100) == list(range(per_take))
    assert take(scheduler, 100) == [per_take, per_take + 1, per_take + 2]


def test_the_budget_may_be_used_up() -> None:
    scheduler = scheduler_of(MAX_ENCODE_TOKENS - 7, 7, 1)
    assert take(scheduler, 3) == [0, 1]


def test_a_short_source_does_not_overtake_a_long_one_that_the_budget_holds_back() -> None:
    scheduler = scheduler_of(MAX_ENCODE_TOKENS, 300, 1)
    assert take(scheduler, 3) == [0]
    assert take(scheduler, 3) == [1, 2]


def test_a_source_over_the_budget_is_taken_alone() -> None:
    scheduler = scheduler_of(MAX_ENCODE_TOKENS + 1, 1)
    assert take(scheduler, 2) == [0]
    assert take(scheduler, 2) == [1]


def test_a_removed_request_is_never_taken() -> None:
    scheduler = scheduler_of(5, 5, 5)
    assert scheduler.remove(1)
    assert not scheduler.remove(1)
    assert not scheduler.remove(77)
    assert take(scheduler, 3) == [0, 2]
    assert not scheduler.remove(0)


def test_waiting_tokens_are_those_of_the_sources_that_wait() -> None:
    scheduler = scheduler_of(5, 11, 2)
    assert (len(scheduler), scheduler.num_tokens) == (3, 18)
    scheduler.remove(1)
    take(scheduler, 1)
    assert (len(scheduler), scheduler.num_tokens) == (1, 2)


def test_who_has_no_room_lets_others_pass_but_not_for_ever() -> None:
    scheduler = scheduler_of(5, 5, 30, 5)
    asked: list[int] = []

    def has_room(request: SequenceRequest) -> bool:
        asked.append(request.sequence_id)
        return len(request.source) < 30

    assert [taken.sequence_id for taken in scheduler.take(4, has_room)] == [0, 1, 3]
    assert asked == [0, 1, 2, 3]
    assert (len(scheduler), scheduler.num_tokens) == (1, 30)
    assert scheduler.take(4, has_room) == []
    for sequence_id in range(4, 4 + 2 * MAX_PASSES):
        scheduler.add(request(sequence_id))
    passing = [len(scheduler.take(1, has_room)) for _ in range(2 * MAX_PASSES)]
    assert sum(passing) == MAX_PASSES - 1
    assert take(scheduler, 2) == [2, 3 + MAX_PASSES]


def test_room_is_asked_for_once_of_each_that_would_be_taken() -> None:
    """An answer may count: two that share the last place would both be told it is free."""
    scheduler = scheduler_of(MAX_ENCODE_TOKENS, 5, 5)
    places = [1]

    def has_room(request: SequenceRequest) -> bool:
        places[0] -= 1
        return places[0] >= 0

    assert scheduler.take(0, has_room) == []
    assert [taken.sequence_id for taken in scheduler.take(3, has_room)] == [0]
    assert places == [0], "what the budget holds back is not asked"
    assert scheduler.take(3, has_room) == []
