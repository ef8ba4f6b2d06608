"""A call's steps on a clock that only moves when the test says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from tests.unit.traghetto.test_retries import DIED, FAULT, NO_SERVER, STOPPING, busy
from traghetto import CallError, DeadlineExceeded, ServerBusy, ServerFault, ServerUnavailable, Translation
from traghetto.calls import Caller, Try, Wait
from traghetto.failures import Failure
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import RequestTemplate

LATE = Failure(code=grpc.StatusCode.DEADLINE_EXCEEDED, message="Deadline Exceeded")


@dataclass
class Drive:
    """Carries the steps of a call out: each try takes some time and ends as it is told.

    Args:
        outcomes: Failures, and None for an answer that repeats the texts.
        seconds: How long each try takes; one that is longer than its deadline ends with that.
    """

    outcomes: list[Failure | None]
    seconds: float = 0.0
    timeout_seconds: float = 10.0
    now: float = 100.0
    tries: list[Try] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def run(self, *texts: str) -> list[str]:
        """The texts that come back."""
        caller = Caller(
            timeout_seconds=self.timeout_seconds,
            security="without TLS",
            proxy=None,
            clock=lambda: self.now,
            uniform=lambda low, high: high,
        )
        steps = caller.translate(RequestTemplate("en", "it"), texts)
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return [result.text for result in end.value if isinstance(result, Translation)]
            outcome = self._wait(step) if isinstance(step, Wait) else self._try(step)

    def _wait(self, step: Wait) -> Any:
        self.waits.append(step.seconds)
        self.now += step.seconds
        return None

    def _try(self, step: Try) -> Any:
        self.tries.append(step)
        self.now += min(self.seconds, step.timeout_seconds)
        if self.seconds >= step.timeout_seconds:
            return LATE
        failure = self.outcomes.pop(0)
        if failure is not None:
            return failure
        items = [pb.TranslationItem(translation=pb.Translation(text=text)) for text in step.request.texts]
        return pb.TranslateResponse(items=items)


def test_an_answer_needs_one_try_and_no_wait() -> None:
    drive = Drive([None])
    assert drive.run("Yes.", "No.") == ["Yes.", "No."]
    assert [step.timeout_seconds for step in drive.tries] == [10]
    assert drive.waits == []


def test_each_try_gets_what_is_left_of_the_one_deadline() -> None:
    drive = Drive([STOPPING, busy(1), None], seconds=2)
    assert drive.run("Yes.") == ["Yes."]
    assert drive.waits == pytest.approx([0.1, 1.1])
    assert [step.timeout_seconds for step in drive.tries] == pytest.approx([10, 7.9, 4.8])


def test_the_calls_of_a_long_list_share_the_deadline() -> None:
    drive = Drive([None, None], seconds=3)
    assert len(drive.run(*["Yes."] * 1025)) == 1025
    assert [len(step.request.texts) for step in drive.tries] == [1024, 1]
    assert [step.timeout_seconds for step in drive.tries] == [10, 7]


def test_a_full_queue_is_asked_until_the_deadline_and_no_longer() -> None:
    drive = Drive([busy(1)] * 100, seconds=0.01)
    with pytest.raises(ServerBusy) as caught:
        drive.run("Yes.")
    assert caught.value.retry_after_seconds == 1
    assert drive.now <= 110
    assert 4 <= len(drive.tries) <= 9


def test_nobody_waits_for_a_time_that_will_be_too_late() -> None:
    drive = Drive([busy(30)])
    with pytest.raises(ServerBusy):
        drive.run("Yes.")
    assert (drive.waits, drive.now) == ([], 100)


def test_a_call_that_a_full_queue_made_late_is_one_of_a_busy_server() -> None:
    drive = Drive([busy(1)], seconds=6)
    with pytest.raises(ServerBusy):
        drive.run("Yes.")
    assert drive.now == pytest.approx(110)


def test_a_call_that_another_failure_made_late_names_it() -> None:
    drive = Drive([DIED], seconds=6)
    with pytest.raises(DeadlineExceeded, match=r"10 s passed.*UNAVAILABLE: recvmsg") as caught:
        drive.run("Yes.")
    assert caught.value.timeout_seconds == 10


def test_a_server_that_has_answered_is_waited_for_until_it_is_back() -> None:
    drive = Drive([None, DIED, *[NO_SERVER] * 30, None], timeout_seconds=120)
    texts = [str(i) for i in range(1025)]  # two calls
    assert drive.run(*texts) == texts
    assert 50 < drive.now - 100 < 120


def test_a_server_that_stays_away_is_reported_at_the_deadline() -> None:
    drive = Drive([STOPPING, *[NO_SERVER] * 30])
    with pytest.raises(ServerUnavailable, match="failed to connect"):
        drive.run("Yes.")
    assert 107 < drive.now <= 110


@pytest.mark.parametrize(
    ("outcomes", "kind", "num_tries"),
    [
        ([FAULT], ServerFault, 1),
        ([DIED] * 9, ServerUnavailable, 2),
        ([STOPPING] * 9, ServerUnavailable, 5),
        ([NO_SERVER] * 9, ServerUnavailable, 5),
    ],
)
def test_the_last_failure_is_raised(
    outcomes: list[Failure | None], kind: type[CallError], num_tries: int
) -> None:
    drive = Drive(list(outcomes))
    with pytest.raises(kind) as caught:
        drive.run("Yes.")
    assert len(drive.tries) == num_tries
    assert isinstance(outcomes[0], Failure)
    assert caught.value.code is outcomes[0].code
