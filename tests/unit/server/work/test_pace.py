"""What is measured of a model's runners."""

from __future__ import annotations

import time

import pytest

from server.engine.sequence import Beam
from server.work.options import SearchOptions
from server.work.pace import Pace

OPTIONS = SearchOptions(method=Beam(beam_size=4), length_penalty=1.0, max_target_tokens=50)


def pace_of(num_runners: int, *rounds: tuple[int, float]) -> Pace:
    """One that has seen many rounds of each kind."""
    pace = Pace(num_runners)
    for num_hypotheses, seconds in rounds:
        for _ in range(40):
            pace.observe(num_hypotheses, seconds)
    return pace


def test_nothing_is_known_after_few_rounds() -> None:
    pace = Pace(num_runners=2)
    for _ in range(31):
        assert (pace.seconds(10, 10), pace.step_seconds(10)) == (None, None)
        pace.observe(8, 0.01)
    pace.observe(8, 0.01)
    assert pace.step_seconds(16) == pytest.approx(0.01)


def test_runners_share_the_work_as_far_as_there_is_enough() -> None:
    pace = pace_of(2, (1, 0.002), (64, 0.032))
    assert pace.seconds(work=100, num_hypotheses=1) == pytest.approx(0.2)
    assert pace.seconds(work=100, num_hypotheses=128) == pytest.approx(100 * 0.0005 / 2)
    assert pace.step_seconds(128) == pytest.approx(0.032)


def test_what_has_never_run_is_judged_hopefully_by_the_next_smaller_number() -> None:
    pace = pace_of(1, (8, 0.008))
    assert pace.step_seconds(16) == pytest.approx(0.016)
    assert pace.step_seconds(512) == pytest.approx(0.512 / 32**0.5)
    assert pace.step_seconds(1) == pytest.approx(0.008), "a step of one takes no longer than one of eight"


def test_a_bad_spell_of_a_number_that_does_not_run_any_more_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace, now = Pace(num_runners=1), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for num_hypotheses, seconds, then in ((64, 6.4, 100.0), (1, 0.001, 111.0)):
        now[0] = then
        for _ in range(40):
            pace.observe(num_hypotheses, seconds)
    assert (pace.step_seconds(64) or 9) < 0.064


def test_a_machine_that_stands_still_for_a_moment_is_not_slow() -> None:
    pace = pace_of(1, (4, 0.04))
    pace.observe(4, 60.0)
    assert pace.step_seconds(4) == pytest.approx(0.04, rel=0.5)


def test_one_that_becomes_slow_is_known_to_be_soon() -> None:
    pace = pace_of(1, (4, 0.004))
    for _ in range(12):
        pace.observe(4, 0.4)
    assert pace.step_seconds(4) == pytest.approx(0.4, rel=0.3)


def test_old_measurements_fade() -> None:
    pace = pace_of(1, (4, 0.4), (4, 0.04))
    assert pace.step_seconds(4) == pytest.approx(0.04, rel=0.3)


def test_lengths_are_learnt_and_stay_within_the_limit() -> None:
    pace = Pace(num_runners=1)
    assert pace.work(OPTIONS, 9) == 4 * 10
    for _ in range(2000):
        pace.observe_length(10, 20)
    assert pace.expected_tokens(OPTIONS, 9) == pytest.approx(19, rel=0.01)
    assert pace.expected_tokens(OPTIONS, 400) == 50


def test_texts_that_never_end_do_not_change_what_is_expected_of_others_much() -> None:
    pace = Pace(num_runners=1)
    for _ in range(100):
        pace.observe_length(20, 20)
        pace.observe_length(2, 512)
    assert pace.expected_tokens(OPTIONS, 10) < 14
