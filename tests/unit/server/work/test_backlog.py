"""Which calls are refused because they would be late."""

from __future__ import annotations

import pytest

from server.engine.sequence import Beam
from server.errors import Overloaded
from server.work.backlog import Backlog
from server.work.fair_order import Flow, Priority
from server.work.job import Job
from server.work.options import SearchOptions
from server.work.pace import Pace

NOW = 1000.0
COST = 0.001  # seconds a hypothesis token


def pace() -> Pace:
    measured = Pace(num_runners=1)
    for bits in range(8):
        for _ in range(4):
            measured.observe(1 << bits, COST * (1 << bits))
    return measured


def job(seconds_left: float | None, num_tokens: int = 9, width: int = 1) -> Job:
    """A text that is expected to take num_tokens + 1 tokens of each hypothesis."""
    options = SearchOptions(method=Beam(beam_size=width), length_penalty=1.0, max_target_tokens=100)
    deadline = None if seconds_left is None else NOW + seconds_left
    return Job(source=(4,) * num_tokens, options=options, deadline=deadline)


def flow(client: str = "a", priority: Priority = Priority.INTERACTIVE) -> Flow:
    return Flow(client=client, call=0, priority=priority)


def backlog_of(*work: tuple[Flow, float]) -> Backlog:
    backlog = Backlog(pace(), num_slots=[4])
    for owner, amount in work:
        backlog.add(owner, amount, width=1)
    return backlog


def is_refused(backlog: Backlog, *jobs: Job, of: Flow | None = None) -> bool:
    try:
        backlog.require_in_time(jobs, of or flow(), NOW)
    except Overloaded:
        return True
    return False


def test_what_would_be_late_is_refused_at_once_and_told_when_to_come_back() -> None:
    backlog = backlog_of((flow(), 990.0))
    with pytest.raises(Overloaded, match=r"expected to take 1 s .* the deadline is in 0\.5 s") as caught:
        backlog.require_in_time([job(0.5)], flow(), NOW)
    assert caught.value.retry_seconds == pytest.approx(1.0 - 0.7 * 0.5)
    assert not is_refused(backlog, job(1.5))
    assert not is_refused(backlog, job(None))


def test_an_idle_model_refuses_nothing_and_one_that_was_never_measured_neither() -> None:
    assert not is_refused(backlog_of(), job(1e-6))
    unknown = Backlog(Pace(num_runners=1), num_slots=[4])
    unknown.add(flow(), 1e6, width=1)
    assert not is_refused(unknown, job(0.5))


def test_a_wide_beam_and_many_texts_are_more_work() -> None:
    backlog = backlog_of((flow(), 100.0))
    assert not is_refused(backlog, job(0.2))
    assert is_refused(backlog, job(0.2, width=16))
    assert is_refused(backlog, *[job(0.2)] * 16)


def test_a_long_text_needs_its_steps_however_little_waits() -> None:
    backlog = Backlog(pace(), num_slots=[64])
    for _ in range(60):
        backlog.add(flow(), 1.0, width=1)
    assert not is_refused(backlog, job(0.9, num_tokens=2))
    assert is_refused(backlog, job(0.9, num_tokens=50))


def test_a_client_waits_for_its_share_and_not_for_all_that_others_want() -> None:
    backlog = backlog_of((flow("crowd"), 9000.0))
    assert not is_refused(backlog, job(0.1), of=flow("single"))
    assert is_refused(backlog, job(0.1), of=flow("crowd"))
    bulk = backlog_of((flow("crowd", Priority.BULK), 9000.0))
    assert not is_refused(bulk, job(0.1), of=flow("crowd"))
    assert is_refused(bulk, job(0.1), of=flow("crowd", Priority.BULK))


def test_a_client_of_much_weight_waits_for_less_of_what_others_want() -> None:
    def is_refused_of(weight: float, seconds_left: float) -> bool:
        backlog = Backlog(pace(), [4], {"heavy": weight})
        backlog.add(flow("heavy"), 90.0, width=1)
        backlog.add(flow("crowd"), 9000.0, width=1)
        return is_refused(backlog, job(seconds_left), of=flow("heavy"))

    assert is_refused_of(1.0, 0.2), "its own 100 tokens, and as many of the crowd's"
    assert not is_refused_of(10.0, 0.2), "its own and 10"
    assert not is_refused_of(1.0, 0.4)
    assert is_refused_of(0.1, 0.4), "its own and 1,000"


def test_what_is_over_is_forgotten() -> None:
    backlog = backlog_of((flow(), 990.0))
    backlog.remove(flow(), 990.0, width=1)
    assert backlog.num_hypotheses == 0
    assert not is_refused(backlog, job(1e-6))
