"""The thread around the engine: what it takes, what it refuses, and that every job ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.engine.engine import Engine
from server.engine.sequence import AttentionChoice, Beam, Contrastive, Method, Sampling, StopReason
from server.engine.session import ModelSession
from server.errors import DeadlineExceeded, Draining, InternalError, QueueFull
from server.metrics import Metrics
from server.worker import Job, Worker

PATIENCE_SECONDS = 60.0
POISON = 333  # as `poisoned_session` has it
GREEDY = Beam(beam_size=1)
MakeWorker = Callable[..., Worker]


def job(*source: int, limit: int = 8, **fields: Any) -> Job:
    options: dict[str, Any] = {"method": GREEDY, "length_penalty": 1.0, "max_target_tokens": limit}
    return Job(source=source or (300, 301, 3), **{**options, **fields})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_worker(metrics: Metrics) -> Iterator[MakeWorker]:
    """Workers of one slot and a queue of four, stopped with the test."""
    workers = []

    def make(session: ModelSession) -> Worker:
        workers.append(Worker("tiny", Engine(session, 1), metrics, max_queue=4))
        return workers[-1]

    yield make
    for worker in workers:
        if worker._thread.ident is not None:
            worker.stop()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


def test_every_job_gets_its_translation(make_worker: MakeWorker, tiny_session: ModelSession) -> None:
    worker = make_worker(tiny_session)
    worker.start()
    submitted = worker.submit([job(300 + i, 3, limit=1 + i) for i in range(4)])
    for i, (_, future) in enumerate(submitted):
        (hypothesis,) = future.result(PATIENCE_SECONDS)
        assert 1 <= len(hypothesis.token_ids) <= 1 + i
        assert hypothesis.stop_reason is StopReason.END or len(hypothesis.token_ids) == 1 + i


@pytest.mark.parametrize(
    "method",
    [
        Beam(beam_size=3),
        Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=1),
        Contrastive(top_k=2, penalty_alpha=0.6),
    ],
    ids=str,
)
def test_a_job_is_done_by_its_method_and_with_the_attention_it_asks_for(
    make_worker: MakeWorker, tiny_session: ModelSession, method: Method
) -> None:
    worker = make_worker(tiny_session)
    worker.start()
    choice = AttentionChoice(layer=0, heads=(0, 2))
    plain, attended = worker.submit([job(method=method), job(method=method, attention=choice)])
    hypotheses = attended[1].result(PATIENCE_SECONDS)
    assert hypotheses == plain[1].result(PATIENCE_SECONDS)
    assert len(hypotheses) == (3 if isinstance(method, Beam) else 1)
    for hypothesis in hypotheses:
        assert hypothesis.attention is not None
        assert hypothesis.attention.shape == (len(hypothesis.token_ids), 3)


def test_a_call_is_queued_whole_or_not_at_all(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    worker = make_worker(tiny_session)
    worker.submit([job()] * 3)
    with pytest.raises(QueueFull, match="2 texts do not fit behind 3 waiting, the queue's limit is 4"):
        worker.submit([job()] * 2)
    assert value(metrics, "translator_queue_requests", model="tiny") == 3
    ((_, last),) = worker.submit([job()])
    worker.start()
    assert last.result(PATIENCE_SECONDS)
    assert value(metrics, "translator_queue_requests", model="tiny") == 0


def test_a_draining_worker_refuses_new_jobs_and_finishes_the_old_ones(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    worker = make_worker(tiny_session)
    submitted = worker.submit([job()] * 4)
    worker.drain()
    with pytest.raises(Draining):
        worker.submit([job()])
    worker.start()
    assert all(future.result(PATIENCE_SECONDS) for _, future in submitted)


def test_stopping_ends_the_jobs_that_are_left(make_worker: MakeWorker, tiny_session: ModelSession) -> None:
    worker = make_worker(tiny_session)
    submitted = worker.submit([job()] * 2)
    worker._is_stopped = True
    worker.start()
    for _, future in submitted:
        assert isinstance(future.exception(PATIENCE_SECONDS), Draining)
    assert not worker.has_failed


def test_a_job_whose_deadline_has_passed_is_not_translated(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    worker = make_worker(tiny_session)
    (_, late), (_, other) = worker.submit(
        [job(deadline=time.monotonic() - 1), job(deadline=time.monotonic() + 600)]
    )
    worker.start()
    assert isinstance(late.exception(PATIENCE_SECONDS), DeadlineExceeded)
    assert other.result(PATIENCE_SECONDS)
    assert value(metrics, "translator_finished_total", reason="deadline") == 1
    assert value(metrics, "translator_batch_sequences_sum", phase="encode") == 1


def test_a_cancelled_job_leaves_the_queue(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    worker = make_worker(tiny_session)
    (first, _), (_, second) = worker.submit([job(), job()])
    worker.cancel([first, first, 999])
    worker.start()
    assert second.result(PATIENCE_SECONDS)
    assert value(metrics, "translator_finished_total", reason="cancelled") == 1
    assert value(metrics, "translator_queue_requests", model="tiny") == 0


@pytest.mark.parametrize("bad", [POISON, 10**6], ids=["no number", "no such piece"])
def test_a_text_that_the_model_fails_on_fails_alone(
    make_worker: MakeWorker, poisoned_session: ModelSession, metrics: Metrics, bad: int
) -> None:
    worker = make_worker(poisoned_session)
    (_, failing), (_, other) = worker.submit([job(300, bad, 3), job()])
    worker.start()
    assert isinstance(failing.exception(PATIENCE_SECONDS), InternalError)
    assert other.result(PATIENCE_SECONDS)
    assert not worker.has_failed
    assert value(metrics, "translator_inference_errors_total", kind="runtime") == 1
    assert value(metrics, "translator_finished_total", reason="error") == 1


def test_a_worker_that_fails_ends_every_job_and_takes_no_more(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    """A source without a token is our own bug: no lane fits it."""
    worker = make_worker(tiny_session)
    no_source = Job(source=(), method=GREEDY, length_penalty=1.0, max_target_tokens=8)
    submitted = worker.submit([job(), no_source, job()])
    worker.start()
    worker._thread.join(PATIENCE_SECONDS)
    assert worker.has_failed
    assert submitted[0][1].result(PATIENCE_SECONDS)
    for _, future in submitted[1:]:
        assert isinstance(future.exception(PATIENCE_SECONDS), Draining)
    with pytest.raises(Draining):
        worker.submit([job()])
