"""Who may use the processors of all."""

from __future__ import annotations

import pytest

from server.work.busy_runners import BusyRunners


def test_one_of_several_runners_is_single_while_all_others_are_idle() -> None:
    runners, answers = BusyRunners(), list[bool]()
    answers.append(runners.is_single)  # none has work
    with runners.busy():
        answers.append(runners.is_single)
        with runners.busy():
            answers.append(runners.is_single)
            with runners.idle():
                answers.append(runners.is_single)
            answers.append(runners.is_single)
        answers.append(runners.is_single)
        with runners.idle():
            answers.append(runners.is_single)
    assert answers == [False, True, False, True, False, True, False]


def test_a_runner_that_fails_is_busy_no_more() -> None:
    runners = BusyRunners()
    with pytest.raises(RuntimeError, match="our own bug"), runners.busy():
        raise RuntimeError("our own bug")
    with runners.busy():
        assert runners.is_single
