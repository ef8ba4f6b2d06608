"""Which jobs a runner gets, when it waits for them, and what the queue gives back."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import pytest

from server.engine.scheduler import MAX_ENCODE_TOKENS
from server.engine.sequence import Beam, SequenceRequest
from server.errors import Draining, QueueFull
from server.work.busy_runners import BusyRunners
from server.work.fair_order import Priority
from server.work.job import Job
from server.work.job_queue import Handout, JobQueue, QueueRules
from server.work.options import SearchOptions
from server.work.portion import Portion

PATIENCE_SECONDS = 30.0


def job_of(num_tokens: int = 3, **fields: Any) -> Job:
    options = SearchOptions(method=Beam(beam_size=1), length_penalty=1.0, max_target_tokens=4)
    return Job(source=(4,) * num_tokens, options=options, **fields)


def wide_job(width: int) -> Job:
    options = SearchOptions(method=Beam(beam_size=width), length_penalty=1.0, max_target_tokens=4)
    return Job(source=(4,) * 3, options=options)


def queue_of(*num_slots: int, max_waiting: int = 1000) -> JobQueue:
    return JobQueue(num_slots, max_waiting, BusyRunners())


def has_room(request: SequenceRequest) -> bool:
    del request
    return True


def has_no_room(request: SequenceRequest) -> bool:
    del request
    return False


def ids(handout: Handout) -> list[int]:
    return [request.sequence_id for request, _ in handout.taken]


def release_all(queue: JobQueue, handout: Handout) -> None:
    for request, live in handout.taken:
        queue.release(request.sequence_id, live)


def counts(queue: JobQueue) -> tuple[int, int, int]:
    return queue.num_waiting, queue.num_waiting_tokens, queue.num_taken


def test_clients_get_slots_in_proportion_to_their_weights() -> None:
    queue = JobQueue([8], 1000, BusyRunners(), QueueRules(weights={"heavy": 3.0}))
    for client in ("heavy", "other"):
        queue.submit([job_of(client=client) for _ in range(20)])
    handout = queue.take(queue.portions[0], has_room)
    clients = [live.job.client for _, live in handout.taken]
    assert (clients.count("heavy"), clients.count("other")) == (6, 2)


def test_a_job_waits_until_it_has_its_slot_and_is_held_until_it_is_released() -> None:
    queue = queue_of(4)
    queue.submit([job_of(5), job_of(7)])
    assert counts(queue) == (2, 12, 0)
    handout = queue.take(queue.portions[0], has_room)
    assert ids(handout) == [1, 0], "the longest first"
    assert counts(queue) == (2, 12, 2)
    (request, live), _ = handout.taken
    live.times.encoded = 1.0
    queue.enter_slot(live)
    assert counts(queue) == (1, 5, 2)
    queue.release(request.sequence_id, live)
    assert counts(queue) == (1, 5, 1)


def test_a_share_that_one_encoder_run_does_not_bear_comes_in_parts() -> None:
    """No other runner gets the rest."""
    num_tokens = MAX_ENCODE_TOKENS // 12
    queue = queue_of(16, 16)
    portion, other = queue.portions
    queue.submit([job_of(num_tokens)] * 32)
    assert ids(queue.take(portion, has_room)) == list(range(12))
    assert ids(queue.take(other, has_room)) == list(range(16, 28))
    assert ids(queue.take(portion, has_room)) == list(range(12, 16))
    assert ids(queue.take(portion, has_room)) == []
    assert (portion.num_taken, other.num_taken, len(other.claimed[Priority.INTERACTIVE])) == (16, 16, 4)


def test_who_finds_no_room_gets_the_job_when_there_is_some() -> None:
    queue = queue_of(4)
    (portion,) = queue.portions
    queue.submit([job_of()])
    assert not queue.take(portion, has_no_room).taken
    assert counts(queue) == (1, 3, 1)
    assert ids(queue.take(portion, has_room)) == [0]
    assert counts(queue) == (1, 3, 1)


def test_what_is_claimed_may_be_cancelled_and_is_never_handed_out() -> None:
    queue = queue_of(4)
    (portion,) = queue.portions
    queue.submit([job_of(), job_of()])
    assert not queue.take(portion, has_no_room).taken
    assert len(queue.cancel([0])) == 1
    assert (counts(queue), portion.cancelled) == ((1, 3, 1), [])
    assert ids(queue.take(portion, has_room)) == [1]


def test_what_a_runner_fails_on_is_given_back_and_not_left_to_the_others() -> None:
    queue, placed = queue_of(2, 2), list[int]()

    def fail_on_the_second(request: SequenceRequest) -> bool:
        if placed:
            raise RuntimeError("our own bug")
        placed.append(request.sequence_id)
        return True

    queue.submit([job_of()] * 4)
    with pytest.raises(RuntimeError, match="our own bug"):
        queue.take(queue.portions[0], fail_on_the_second)
    assert counts(queue) == (4, 12, 2)
    assert len(queue.fail(queue.portions[0])) == 2
    assert counts(queue) == (2, 6, 0)
    assert ids(queue.take(queue.portions[1], has_room)) == [2, 3]
    assert queue.fail(queue.portions[1]) == []
    assert counts(queue) == (2, 6, 2)


def test_what_waits_is_left_to_the_runners_that_have_not_failed() -> None:
    queue = queue_of(4, 4)
    queue.submit([job_of()] * 4)
    assert queue.fail(queue.portions[0]) == []
    with pytest.raises(Draining):
        queue.submit([job_of()])
    assert ids(queue.take(queue.portions[1], has_room)) == [0, 1, 2, 3], "all are its fair share now"


def test_a_job_whose_deadline_has_passed_is_given_back_and_not_handed_out() -> None:
    queue = queue_of(4)
    queue.submit(
        [job_of(9, deadline=time.monotonic() - 1), job_of(), job_of(deadline=time.monotonic() + 600)]
    )
    handout = queue.take(queue.portions[0], has_room)
    assert ids(handout) == [1, 2]
    assert [len(live.job.source) for live in handout.expired] == [9]
    assert counts(queue) == (2, 6, 2)


def test_a_cancel_gives_back_what_waits_and_tells_the_one_who_has_taken_it() -> None:
    queue = queue_of(2, 2)
    queue.submit([job_of()] * 5)
    handouts = [queue.take(portion, has_room) for portion in queue.portions]
    assert [ids(handout) for handout in handouts] == [[0, 1], [2, 3]]
    assert len(queue.cancel([2, 4, 4, 99])) == 1
    assert queue.take(queue.portions[0], has_room) == Handout()
    assert list(queue.take(queue.portions[1], has_room).cancelled) == [2]
    assert list(queue.take(queue.portions[1], has_room).cancelled) == []


def test_a_cancel_of_what_is_over_is_nobodys_business() -> None:
    queue = queue_of(2)
    queue.submit([job_of()])
    release_all(queue, queue.take(queue.portions[0], has_room))
    assert queue.cancel([0]) == []
    assert queue.portions[0].cancelled == []


def test_a_closed_queue_hands_out_nothing_and_gives_back_what_waits() -> None:
    queue = queue_of(2)
    queue.submit([job_of()] * 3)
    queue.close()
    handout = queue.take(queue.portions[0], has_room)
    assert (handout.is_closed, ids(handout)) == (True, [])
    assert len(queue.clear()) == 3
    assert counts(queue) == (0, 0, 0)


def test_a_call_that_does_not_fit_leaves_nothing_behind() -> None:
    queue = queue_of(2, max_waiting=2)
    with pytest.raises(QueueFull, match="3 texts do not fit behind 0 waiting, the queue's limit is 2"):
        queue.submit([job_of()] * 3)
    assert counts(queue) == (0, 0, 0)
    queue.drain()
    with pytest.raises(Draining):
        queue.submit([job_of()])


def test_a_call_that_has_begun_goes_on_whatever_else_waits() -> None:
    queue = queue_of(1, max_waiting=3)
    queue.submit([job_of()] * 3, later=[job_of()] * 2)
    with pytest.raises(QueueFull):
        queue.submit([job_of()])
    with pytest.raises(QueueFull):
        queue.submit([job_of()] * 2, is_begun=True)
    queue.drain()
    for sequence_id in list(queue._waiting)[:2]:
        queue.cancel([sequence_id])
    queue.submit([job_of()] * 2, is_begun=True)
    assert queue.num_waiting == 3
    queue.close()
    with pytest.raises(Draining):
        queue.submit([job_of()], is_begun=True)


def test_no_runner_is_left_for_a_call_that_has_begun() -> None:
    queue = queue_of(1)
    queue.fail(queue.portions[0])
    with pytest.raises(Draining):
        queue.submit([job_of()], is_begun=True)


def test_what_comes_later_of_a_call_counts_for_whether_it_is_bulk() -> None:
    queue = queue_of(3)
    queue.submit([job_of()] * 3, later=[job_of(100)] * 1000)
    queue.submit([job_of()])
    handout = queue.take(queue.portions[0], has_room)
    assert [live.flow.priority for _, live in handout.taken] == [Priority.INTERACTIVE, Priority.BULK]


def test_a_runner_without_work_waits_and_is_not_busy_meanwhile() -> None:
    busy_runners, taken = BusyRunners(), list[int]()
    queue = JobQueue([2], 9, busy_runners)

    def run(portion: Portion) -> None:
        with busy_runners.busy():
            taken.extend(ids(queue.take(portion, has_room)))

    with busy_runners.busy():  # another one
        thread = threading.Thread(target=run, args=queue.portions)
        thread.start()
        until = time.monotonic() + PATIENCE_SECONDS
        while not busy_runners.is_single:
            assert time.monotonic() < until
        queue.submit([job_of()])
        thread.join(PATIENCE_SECONDS)
    assert taken == [0]


def test_wide_beams_without_room_keep_no_slot_from_others() -> None:
    queue = queue_of(8)
    queue.submit([wide_job(16)] * 20)
    (portion,) = queue.portions
    num_rows = [2]

    def has_row(request: SequenceRequest) -> bool:
        num_rows[0] -= request.method.width > 1
        return request.method.width == 1 or num_rows[0] >= 0

    assert len(queue.take(portion, has_row).taken) == 2
    ((single, _),) = queue.submit([job_of()])
    assert ids(queue.take(portion, has_row)) == [single]
    assert portion.num_handed_out == 3
    assert portion.num_taken <= 2 * portion.num_slots, "as many may wait for room as there are slots"


def test_what_is_claimed_of_bulk_is_given_back_once_others_come() -> None:
    """More than one encoder run bears was claimed; a third of the slots stays with bulk."""
    queue = queue_of(24)
    (portion,) = queue.portions
    queue.submit([dataclasses.replace(job_of(100), priority=Priority.BULK)] * 24)
    assert len(queue.take(portion, has_room).taken) == 6
    assert (portion.num_taken, portion.num_bulk) == (24, 24)
    ((single, _),) = queue.submit([job_of(3)])
    assert ids(queue.take(portion, has_room))[0] == single
    assert portion.num_bulk == 8
    assert counts(queue)[0] == 25


def test_a_runner_in_doubt_leaves_what_waits_to_the_others() -> None:
    queue = queue_of(4, 4)
    doubtful, other = queue.portions
    queue.submit([job_of()] * 2)
    handout = queue.take(doubtful, has_room)
    assert len(handout.taken) == 1
    queue.submit([job_of()])
    assert not queue.take(doubtful, has_room, takes_more=False).taken
    assert len(queue.take(other, has_room).taken) == 2


def test_bulk_is_handed_out_too_while_others_fill_every_encoder_run() -> None:
    queue = queue_of(12)
    (portion,) = queue.portions
    bulk = {
        sequence_id
        for sequence_id, _ in queue.submit([dataclasses.replace(job_of(3), priority=Priority.BULK)] * 2)
    }
    queue.submit([job_of(MAX_ENCODE_TOKENS)] * 6)
    taken = [sequence_id for _ in range(4) for sequence_id in ids(queue.take(portion, has_room))]
    assert bulk & set(taken[:3])
