"""The threads around the engines: what they take, what they refuse, and that every job ends."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from export.contract.manifest import ArtifactError
from server.engine.engine import Engine, StepReport
from server.engine.scheduler import Scheduler
from server.engine.sequence import (
    AttentionChoice,
    Beam,
    Contrastive,
    Finished,
    Hypothesis,
    Method,
    Sampling,
    SequenceRequest,
    StopReason,
)
from server.engine.session import ModelSession
from server.errors import DeadlineExceeded, Draining, InternalError, Overloaded, QueueFull
from server.telemetry.metrics import FINISH_REASONS, Metrics
from server.work.busy_runners import BusyRunners
from server.work.job import Job
from server.work.options import SearchOptions
from server.work.runner import Check
from server.work.worker import Worker

PATIENCE_SECONDS = 60.0
POISON = 333  # as `poisoned_session` has it
GREEDY = Beam(beam_size=1)
MakeWorker = Callable[..., Worker]
Futures = Future[tuple[Hypothesis, ...]]


def job(*source: int, limit: int = 8, deadline: float | None = None, **fields: Any) -> Job:
    options: dict[str, Any] = {"method": GREEDY, "length_penalty": 1.0, "max_target_tokens": limit}
    return Job(
        source=source or (300, 301, 3), options=SearchOptions(**{**options, **fields}), deadline=deadline
    )


def job_of(num_tokens: int, **fields: Any) -> Job:
    return job(*(300 + i for i in range(num_tokens)), **fields)


def nothing_is_wrong(engine: Engine) -> None:
    """A check that any engine passes."""


def translations(worker: Worker, jobs: Sequence[Job]) -> list[tuple[Hypothesis, ...]]:
    """What the jobs get, one at a time."""
    worker.start()
    return [worker.submit([one])[0][1].result(PATIENCE_SECONDS) for one in jobs]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)


class HeldEngine(Engine):
    """Waits before each round until it is let go; tells what it was given.

    Args:
        fails: Raise in the first decode step.
    """

    def __init__(self, session: ModelSession, num_slots: int, *, fails: bool = False) -> None:
        super().__init__(session, num_slots)
        self.rounds = threading.Semaphore(0)
        self.given: list[SequenceRequest] = []
        self.num_rounds = 0
        self.is_exclusive: bool | None = None
        self._fails = fails

    def let_go(self) -> None:
        """For good."""
        self.rounds.release(100_000)

    def set_exclusive(self, is_exclusive: bool) -> None:
        self.is_exclusive = is_exclusive
        super().set_exclusive(is_exclusive)

    def admit(self, requests: Sequence[SequenceRequest]) -> StepReport | None:
        self.given += requests
        assert self.rounds.acquire(timeout=PATIENCE_SECONDS)
        self.num_rounds += 1
        return super().admit(requests)

    def decode_step(self) -> StepReport | None:
        if self._fails and self.num_running:
            raise RuntimeError("our own bug")
        return super().decode_step()


def go_on(engine: HeldEngine) -> None:
    """For so many rounds that it has seen who was cancelled and taken others instead."""
    until = engine.num_rounds + 3
    engine.rounds.release(3)
    wait_until(lambda: engine.num_rounds == until)


@pytest.fixture(scope="session")
def long_job(tiny_session: ModelSession) -> Job:
    """One that takes as many steps as it may: 64."""
    engine, waiting = Engine(tiny_session, 16), Scheduler()
    jobs = [job(300 + 10 * i, 301 + 10 * i, 3, limit=64) for i in range(16)]
    for i, one in enumerate(jobs):
        waiting.add(one.request(i))
    while engine.num_running or waiting:
        engine.admit(waiting.take(engine.num_free, engine.reserve))
        report = engine.decode_step()
        assert report is not None
        for result in report.results:
            if isinstance(result, Finished) and len(result.hypotheses[0].token_ids) == 64:
                return jobs[result.sequence_id]
    raise AssertionError("every one ends early")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_worker(metrics: Metrics) -> Iterator[MakeWorker]:
    """Workers of one runner of one slot, or of given engines, stopped with the test."""
    workers: list[tuple[Worker, tuple[Engine, ...]]] = []
    busy_runners = BusyRunners()

    def make(
        session: ModelSession, *engines: Engine, max_queue: int = 4, check: Check | None = None
    ) -> Worker:
        engines = engines or (Engine(session, 1),)
        workers.append((Worker("tiny", engines, metrics, max_queue, busy_runners, check), engines))
        workers[-1][0].publish(metrics.of_model("tiny"))
        return workers[-1][0]

    yield make
    for worker, engines in workers:
        for engine in engines:
            if isinstance(engine, HeldEngine):
                engine.let_go()
        if worker._runners[0].thread.ident is not None:
            worker.stop()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


def finished(metrics: Metrics) -> dict[str, float]:
    """How many jobs ended, by reason."""
    counts = {r: value(metrics, "translator_finished_total", reason=r) for r in FINISH_REASONS}
    return {reason: count for reason, count in counts.items() if count}


def assert_nothing_is_left(worker: Worker, metrics: Metrics) -> None:
    assert value(metrics, "translator_queue_requests", model="tiny") == 0
    assert value(metrics, "translator_queue_tokens", model="tiny") == 0
    assert (worker._queue.num_taken, list(worker._queue._waiting)) == (0, [])


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


def test_a_job_without_scores_gets_the_same_tokens_and_none(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    worker = make_worker(tiny_session)
    worker.start()
    scored, bare = (
        future.result(PATIENCE_SECONDS)[0] for _, future in worker.submit([job(), job(with_scores=False)])
    )
    assert bare.token_ids == scored.token_ids
    assert scored.score is not None
    assert (bare.score, bare.log_prob) == (None, None)


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
    wait_until(lambda: value(metrics, "translator_queue_requests", model="tiny") == 0)


def test_what_a_runner_has_taken_still_fills_the_queue_until_it_has_a_slot(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    engine = HeldEngine(tiny_session, 2)
    worker = make_worker(tiny_session, engine)
    worker.start()
    worker.submit([job(), job()])
    wait_until(lambda: len(engine.given) == 2)
    with pytest.raises(QueueFull, match="3 texts do not fit behind 2 waiting"):
        worker.submit([job()] * 3)
    assert value(metrics, "translator_queue_tokens", model="tiny") == 6
    engine.rounds.release()
    wait_until(lambda: value(metrics, "translator_queue_requests", model="tiny") == 0)
    assert len(worker.submit([job()] * 4)) == 4


def test_jobs_of_a_call_join_longest_first_and_answer_in_the_calls_order(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    engine = HeldEngine(tiny_session, 1)
    worker = make_worker(tiny_session, engine, max_queue=9)
    lengths = [3, 9, 1, 9, 20]
    submitted = worker.submit([job_of(n, limit=1 + i) for i, n in enumerate(lengths)])
    (later,) = worker.submit([job_of(40)])
    engine.let_go()
    worker.start()
    assert all(future.result(PATIENCE_SECONDS) for _, future in (*submitted, later))
    ids = [sequence_id for sequence_id, _ in submitted]
    assert [len(request.source) for request in engine.given] == [20, 40, 9, 9, 3, 1], "calls take turns"
    given = [request.sequence_id for request in engine.given]
    assert given == [ids[4], later[0], *(ids[i] for i in (1, 3, 0, 2))]
    limits = {request.sequence_id: request.max_target_tokens for request in engine.given}
    assert [limits[sequence_id] for sequence_id in ids] == [1, 2, 3, 4, 5]
    for i, (_, future) in enumerate(submitted):
        (hypothesis,) = future.result(PATIENCE_SECONDS)
        assert hypothesis.stop_reason is StopReason.END or len(hypothesis.token_ids) == 1 + i


@pytest.mark.parametrize(
    ("num_slots", "num_jobs", "shares"),
    [(8, 8, [4, 4]), (8, 1, [0, 1]), (8, 7, [3, 4]), (3, 8, [3, 3]), (8, 20, [8, 8])],
)
def test_idle_runners_share_what_waits(
    make_worker: MakeWorker, tiny_session: ModelSession, num_slots: int, num_jobs: int, shares: list[int]
) -> None:
    engines = [HeldEngine(tiny_session, num_slots) for _ in range(2)]
    worker = make_worker(tiny_session, *engines, max_queue=20)
    worker.start()
    submitted = worker.submit([job()] * num_jobs)
    wait_until(lambda: sum(len(engine.given) for engine in engines) == sum(shares))
    time.sleep(0.05)  # nobody takes more
    assert sorted(len(engine.given) for engine in engines) == shares
    for engine in engines:
        engine.let_go()
    assert all(future.result(PATIENCE_SECONDS) for _, future in submitted)


def test_a_busy_runner_takes_newcomers_together(
    make_worker: MakeWorker, tiny_session: ModelSession, long_job: Job
) -> None:
    """Of 16 slots two have to be free, unless a single job waits."""
    engine = HeldEngine(tiny_session, 16)
    worker = make_worker(tiny_session, engine, max_queue=40)
    worker.start()
    first = [sequence_id for sequence_id, _ in worker.submit([long_job] * 16)]
    wait_until(lambda: len(engine.given) == 16)
    worker.submit([long_job] * 3)
    for num_given in (16, 18):
        worker.cancel([first.pop()])
        go_on(engine)
        assert len(engine.given) == num_given
    worker.cancel([first.pop()])
    go_on(engine)
    assert len(engine.given) == 19


def test_a_runner_that_is_idle_takes_what_comes_while_the_other_is_busy(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    engines = [HeldEngine(tiny_session, 8) for _ in range(2)]
    worker = make_worker(tiny_session, *engines, max_queue=20)
    worker.start()
    worker.submit([job()])
    wait_until(lambda: sum(len(engine.given) for engine in engines) == 1)
    worker.submit([job()])
    wait_until(lambda: [len(engine.given) for engine in engines] == [1, 1])


def test_a_runner_has_the_processors_while_no_other_of_any_model_has_work(
    make_worker: MakeWorker, tiny_session: ModelSession, long_job: Job
) -> None:
    engine, other = HeldEngine(tiny_session, 2), HeldEngine(tiny_session, 2)
    workers = [make_worker(tiny_session, held, max_queue=2) for held in (engine, other)]
    for worker in workers:
        worker.start()
    workers[0].submit([long_job])
    wait_until(lambda: engine.is_exclusive is True)
    [(_, future)] = workers[1].submit([job()])
    wait_until(lambda: other.is_exclusive is False)
    engine.rounds.release()
    wait_until(lambda: engine.is_exclusive is False)
    other.let_go()
    future.result(PATIENCE_SECONDS)

    def is_exclusive_again() -> bool:
        engine.rounds.release()
        return engine.is_exclusive is True

    wait_until(is_exclusive_again)
    engine.let_go()


def test_whoever_translates_a_text_it_is_the_same(
    make_worker: MakeWorker, tiny_session: ModelSession
) -> None:
    jobs = [job_of(1 + i % 30, limit=30, method=Beam(beam_size=1 + i % 4)) for i in range(60)]
    found = []
    for num_runners in (1, 3):
        worker = make_worker(
            tiny_session, *(Engine(tiny_session, 2) for _ in range(num_runners)), max_queue=60
        )
        worker.start()
        found.append([future.result(PATIENCE_SECONDS) for _, future in worker.submit(jobs)])
    assert found[0] == found[1]


def test_every_job_ends_exactly_once_whatever_callers_and_runners_do_at_once(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    """A future that is ended twice raises in its runner, which then has failed."""
    worker = make_worker(tiny_session, *(Engine(tiny_session, 2) for _ in range(3)), max_queue=1000)
    worker.start()
    kept: list[Futures] = []
    late: list[Futures] = []
    lock = threading.Lock()

    def call(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(12):
            deadline = time.monotonic() + rng.choice([-1.0, 0.01]) if rng.random() < 0.3 else None
            jobs = [job_of(rng.randint(1, 20), limit=20, deadline=deadline) for _ in range(rng.randint(1, 4))]
            try:
                submitted = worker.submit(jobs)
            except Overloaded:
                assert deadline is not None
                continue
            time.sleep(rng.choice([0, 0.005]))
            if rng.random() < 0.3:
                worker.cancel([sequence_id for sequence_id, _ in submitted] * 2)
                continue
            with lock:
                (kept if deadline is None else late).extend(future for _, future in submitted)

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE_SECONDS)
    assert all(future.result(PATIENCE_SECONDS) for future in kept)
    for future in late:
        assert isinstance(future.exception(PATIENCE_SECONDS), DeadlineExceeded | None)
    wait_until(lambda: worker._queue.num_taken == 0)
    assert worker.failure is None
    assert_nothing_is_left(worker, metrics)
    counts = finished(metrics)
    assert sum(counts.values()) == next(worker._queue._ids)
    assert counts.keys() >= {"cancelled", "deadline"}
    assert value(metrics, "translator_running_sequences", model="tiny") == 0


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


def test_stopping_ends_the_jobs_that_are_left(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics, long_job: Job
) -> None:
    """Two that run, two that a runner has taken, and four that wait."""
    engines = [HeldEngine(tiny_session, 2) for _ in range(2)]
    worker = make_worker(tiny_session, *engines, max_queue=8)
    submitted = worker.submit([long_job] * 8)
    worker.start()
    wait_until(lambda: [len(engine.given) for engine in engines] == [2, 2])
    engines[0].rounds.release(2)
    wait_until(lambda: engines[0].num_rounds == 2)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_until(lambda: worker._queue.is_closed)
    for engine in engines:
        engine.let_go()
    stopping.join(PATIENCE_SECONDS)
    for _, future in submitted:
        assert isinstance(future.exception(0), Draining)
    assert worker.failure is None
    assert finished(metrics) == {"error": 8}
    assert_nothing_is_left(worker, metrics)
    with pytest.raises(Draining):
        worker.submit([job()])


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


def test_a_deadline_ends_a_job_that_runs_and_one_that_waits_while_others_go_on(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics, long_job: Job
) -> None:
    engine = HeldEngine(tiny_session, 2)
    worker = make_worker(tiny_session, engine)
    soon = time.monotonic() + 2.0
    ending = dataclasses.replace(long_job, deadline=soon)
    submitted = worker.submit([long_job, ending, ending, long_job])
    worker.start()
    engine.rounds.release()
    wait_until(lambda: value(metrics, "translator_running_sequences", model="tiny") == 2)
    assert worker._queue._waiting.keys() == {submitted[2][0], submitted[3][0]}
    time.sleep(max(0.0, soon - time.monotonic()))
    engine.rounds.release(2)
    for i in (1, 2):
        assert isinstance(submitted[i][1].exception(PATIENCE_SECONDS), DeadlineExceeded)
    assert finished(metrics) == {"deadline": 2}
    engine.let_go()
    for i in (0, 3):
        assert submitted[i][1].result(PATIENCE_SECONDS)


def test_a_cancelled_job_leaves_the_queue(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    worker = make_worker(tiny_session)
    (first, _), (_, second) = worker.submit([job(), job()])
    worker.cancel([first, first, 999])
    assert value(metrics, "translator_queue_requests", model="tiny") == 1
    worker.start()
    assert second.result(PATIENCE_SECONDS)
    assert value(metrics, "translator_finished_total", reason="cancelled") == 1
    wait_until(lambda: worker._queue.num_taken == 0)
    assert_nothing_is_left(worker, metrics)


def test_the_slot_of_a_cancelled_job_goes_to_the_next_whichever_runner_has_it(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics, long_job: Job
) -> None:
    engines = [HeldEngine(tiny_session, 1) for _ in range(2)]
    worker = make_worker(tiny_session, *engines)
    worker.start()
    running = worker.submit([long_job, long_job])
    wait_until(lambda: [len(engine.given) for engine in engines] == [1, 1])
    waiting = worker.submit([job(limit=1), job(limit=1)])
    for engine in engines:
        engine.rounds.release()
    wait_until(lambda: value(metrics, "translator_running_sequences", model="tiny") == 2)
    worker.cancel([sequence_id for sequence_id, _ in running])
    for engine in engines:
        engine.let_go()
    assert all(future.result(PATIENCE_SECONDS) for _, future in waiting)
    assert [len(engine.given) for engine in engines] in ([2, 2], [1, 3], [3, 1])
    wait_until(lambda: finished(metrics).get("cancelled") == 2)
    assert not any(future.done() for _, future in running), "nobody waits for them"
    wait_until(lambda: value(metrics, "translator_running_sequences", model="tiny") == 0)


@pytest.mark.parametrize("bad", [POISON, 10**6], ids=["no number", "no such piece"])
def test_a_text_that_the_model_fails_on_fails_alone(
    make_worker: MakeWorker, poisoned_session: ModelSession, metrics: Metrics, bad: int
) -> None:
    worker = make_worker(poisoned_session)
    (_, failing), (_, other) = worker.submit([job(300, bad, 3), job()])
    worker.start()
    assert isinstance(failing.exception(PATIENCE_SECONDS), InternalError)
    assert other.result(PATIENCE_SECONDS)
    assert worker.failure is None
    assert value(metrics, "translator_inference_errors_total", kind="runtime") == 1
    assert value(metrics, "translator_finished_total", reason="error") == 1


def test_an_exception_in_a_search_is_its_own_texts_alone(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    """A length penalty that overflows: ((5 + n) / 6) ** alpha."""
    worker = make_worker(tiny_session, Engine(tiny_session, 8), check=nothing_is_wrong)
    expected = translations(make_worker(tiny_session), [job(i, 301, 3) for i in range(300, 304)])
    submitted = worker.submit([*(job(i, 301, 3) for i in range(300, 303)), job(length_penalty=1e5)])
    worker.start()
    *others, failing = [future for _, future in submitted]
    assert isinstance(failing.exception(PATIENCE_SECONDS), InternalError)
    assert [future.result(PATIENCE_SECONDS) for future in others] == expected[:3]
    assert worker.failure is None
    assert value(metrics, "translator_inference_errors_total", kind="internal") == 1


def test_of_texts_that_fail_together_only_the_one_at_fault_fails(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    """One encoder run of four texts; one of them has a piece that the model does not have."""
    worker = make_worker(tiny_session, Engine(tiny_session, 8), check=nothing_is_wrong)
    expected = translations(make_worker(tiny_session), [job(i, 301, 3) for i in range(300, 304)])
    submitted = worker.submit([*(job(i, 301, 3) for i in range(300, 303)), job(300, 10**6, 3)])
    worker.start()
    *others, failing = [future for _, future in submitted]
    assert isinstance(failing.exception(PATIENCE_SECONDS), InternalError)
    assert [future.result(PATIENCE_SECONDS) for future in others] == expected[:3]
    assert finished(metrics)["error"] == 1
    wait_until(lambda: worker._queue.num_taken == 0)
    assert_nothing_is_left(worker, metrics)


class FragileEngine(Engine):
    """Raises in each step in which a source has the piece POISON, as a bug of ours would."""

    def decode_step(self) -> StepReport | None:
        for lane in self._lanes.running():
            if any(running and POISON in running.request.source for running in lane._running):
                raise MemoryError("our own bug")
        return super().decode_step()


def test_an_engine_that_raises_is_emptied_checked_and_goes_on(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    checked: list[int] = []
    worker = make_worker(
        tiny_session,
        FragileEngine(tiny_session, 8),
        max_queue=9,
        check=lambda e: checked.append(e.num_running),
    )
    good = [job(i, 301, 3) for i in range(300, 304)]
    expected = translations(make_worker(tiny_session), good)
    submitted = worker.submit([*good[:2], job(300, POISON, 3), *good[2:]])
    worker.start()
    outcomes = [future.exception(PATIENCE_SECONDS) or future.result() for _, future in submitted]
    assert isinstance(outcomes.pop(2), InternalError)
    assert outcomes == expected
    assert set(checked) == {0}
    assert worker.failure is None
    (again,) = worker.submit(good[:1])
    assert again[1].result(PATIENCE_SECONDS) == expected[0]
    assert finished(metrics)["error"] == 1


class CrampedEngine(Engine):
    """Raises when it is to keep room for a source of nine tokens, as where no memory is left."""

    def reserve(self, request: SequenceRequest) -> bool:
        if len(request.source) == 9:
            raise MemoryError("no memory for a lane")
        return super().reserve(request)


def test_a_text_that_no_lane_opens_for_fails_alone(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    worker = make_worker(tiny_session, CrampedEngine(tiny_session, 8), max_queue=9, check=nothing_is_wrong)
    worker.start()
    submitted = worker.submit([job_of(3), job_of(9), job_of(4), job_of(9)])
    for i, (_, future) in enumerate(submitted):
        error = future.exception(PATIENCE_SECONDS)
        assert isinstance(error, InternalError) if i % 2 else error is None
    assert worker.failure is None
    assert value(metrics, "translator_inference_errors_total", kind="internal") == 2
    wait_until(lambda: worker._queue.num_taken == 0)
    assert_nothing_is_left(worker, metrics)


def test_an_engine_that_fails_its_check_takes_no_more(
    make_worker: MakeWorker, poisoned_session: ModelSession, metrics: Metrics
) -> None:
    """Three texts in a row fail, each by itself: it may be the texts, so the engine is asked."""

    def check(_: Engine) -> None:
        raise ArtifactError("other tokens than the artifact's")

    worker = make_worker(poisoned_session, check=check)
    submitted = worker.submit([job(300, POISON, 3)] * 3)
    worker.start()
    for _, future in submitted:
        assert isinstance(future.exception(PATIENCE_SECONDS), InternalError)
    wait_until(lambda: worker.failure is not None)
    with pytest.raises(Draining):
        worker.submit([job()])
    assert_nothing_is_left(worker, metrics)


def test_texts_that_fail_in_a_row_do_not_end_a_worker_that_passes_its_check(
    make_worker: MakeWorker, poisoned_session: ModelSession
) -> None:
    worker = make_worker(poisoned_session, max_queue=9, check=nothing_is_wrong)
    submitted = worker.submit([job(300, POISON, 3)] * 8)
    worker.start()
    for _, future in submitted:
        assert isinstance(future.exception(PATIENCE_SECONDS), InternalError)
    (other,) = worker.submit([job()])
    assert other[1].result(PATIENCE_SECONDS)


def test_a_worker_that_fails_ends_every_job_and_takes_no_more(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    """A source without a token is our own bug: no lane fits it."""
    worker = make_worker(tiny_session)
    no_source = dataclasses.replace(job(), source=())
    submitted = [worker.submit([one])[0] for one in (job(), no_source, job())]
    worker.start()
    worker._runners[0].thread.join(PATIENCE_SECONDS)
    assert worker.failure is not None
    assert submitted[0][1].result(PATIENCE_SECONDS)
    for _, future in submitted[1:]:
        assert isinstance(future.exception(PATIENCE_SECONDS), Draining)
    with pytest.raises(Draining):
        worker.submit([job()])
    assert_nothing_is_left(worker, metrics)


def test_when_one_runner_fails_the_others_finish_what_waits(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    good, bad = HeldEngine(tiny_session, 2), HeldEngine(tiny_session, 2, fails=True)
    worker = make_worker(tiny_session, good, bad, max_queue=9)
    submitted = worker.submit([job(limit=4)] * 9)
    worker.start()
    wait_until(lambda: [len(good.given), len(bad.given)] == [2, 2])
    bad.let_go()
    wait_until(lambda: worker.failure is not None)
    with pytest.raises(Draining):
        worker.submit([job()])
    good.let_go()
    lost = {request.sequence_id for request in bad.given}
    for sequence_id, future in submitted:
        error = future.exception(PATIENCE_SECONDS)
        assert isinstance(error, Draining) if sequence_id in lost else error is None
    assert finished(metrics)["error"] == len(lost) == 2
    wait_until(lambda: worker._queue.num_taken == 0)
    assert_nothing_is_left(worker, metrics)


def test_when_every_runner_fails_nobody_is_left_waiting(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    engines = [HeldEngine(tiny_session, 1, fails=True) for _ in range(2)]
    worker = make_worker(tiny_session, *engines, max_queue=6)
    submitted = worker.submit([job()] * 6)
    worker.start()
    wait_until(lambda: [len(engine.given) for engine in engines] == [1, 1])
    for engine in engines:
        engine.let_go()
    for _, future in submitted:
        assert isinstance(future.exception(PATIENCE_SECONDS), Draining)
    assert finished(metrics) == {"error": 6}
    assert_nothing_is_left(worker, metrics)


def test_the_slots_are_those_of_all_runners(
    make_worker: MakeWorker, tiny_session: ModelSession, metrics: Metrics
) -> None:
    make_worker(tiny_session, *(Engine(tiny_session, 3) for _ in range(4)))
    assert value(metrics, "translator_slots", model="tiny") == 12


@pytest.mark.parametrize("fails_at", [0, 1])
def test_an_engine_that_cannot_be_prepared_ends_the_start_and_every_thread(
    tiny_session: ModelSession, fails_at: int
) -> None:
    """Each is prepared in the thread that would run it, one after the other."""
    engines = [Engine(tiny_session, 1) for _ in range(3)]
    threads: list[threading.Thread] = []

    def prepare(engine: Engine) -> None:
        threads.append(threading.current_thread())
        if engine is engines[fails_at]:
            raise ArtifactError("it translates otherwise")

    worker = Worker("tiny", engines, Metrics(), 8, BusyRunners(), prepare=prepare)
    with pytest.raises(ArtifactError, match="it translates otherwise"):
        worker.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert len({*threads}) == fails_at + 1
    assert threading.current_thread() not in threads
