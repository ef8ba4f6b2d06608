"""The tensors of a GPU's lane, with main memory in its place: the same numbers as on CPU, to the last bit.

What a GPU itself computes is not tested here. What ONNX Runtime does with CUDA graphs is played: a first run
computes several times, and a later one repeats what its first one bound.
"""

from __future__ import annotations

import ctypes
import dataclasses
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from export.graphs.to_onnx import Exported
from server.engine.device import CPU
from server.engine.engine import Engine
from server.engine.gpu import GpuError
from server.engine.graph_runner import GraphRunner
from server.engine.lane import largest_lane_bytes
from server.engine.scheduler import Scheduler
from server.engine.searches.search import (
    GREEDY_SCORE,
    Array,
    Best,
    Continuation,
    StepOutputs,
    keep_places,
)
from server.engine.sequence import (
    Beam,
    Contrastive,
    Failed,
    Finished,
    Hypothesis,
    InferenceError,
    Method,
    Sampling,
    SequenceRequest,
)
from server.engine.session import ModelSession
from server.engine.tensors import cuda as cuda_tensors
from server.engine.tensors.bindings import Outputs
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.lane_tensors import new_lane_tensors
from server.engine.tensors.packed import Buffer, zeros
from server.models.warm_up import self_check, warm_up
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job import Job
from server.work.options import SearchOptions
from server.work.worker import Worker

POISON = 333  # as `poisoned_session` has it
CAPACITY = 64  # of sources as long as the artifact allows: the one that a GPU's lanes have
MODELS = ["tiny_session", "recurrent_session"]
EVERYTHING = frozenset((GraphName.LOG_PROBS, GraphName.CANDIDATES, "hidden", "attention_0"))
METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=3),
    Sampling(temperature=1.0, top_k=0, top_p=0.95, seed=1),
    Contrastive(top_k=3, penalty_alpha=0.6),
]


class CapturingGraph:
    """A graph that is captured and replayed as ONNX Runtime does on a GPU."""

    def __init__(self, device: Device, name: str, graph: onnxruntime.InferenceSession) -> None:
        self._device, self._name, self._graph = device, name, graph

    def io_binding(self) -> Any:
        return self._graph.io_binding()

    def run_with_iobinding(self, binding: Any, options: onnxruntime.RunOptions) -> None:
        replay = int(options.get_run_config_entry("gpu_graph_id"))
        for _ in range(self._device.num_runs(self._name, binding, None if replay < 0 else replay)):
            self._graph.run_with_iobinding(binding)

    def release_captured_graph(self, replay: int) -> None:
        self._device.release(replay)


class MainMemory:
    """In place of a GPU's driver: a copy is done when somebody waits for it, and not before."""

    def __init__(self) -> None:
        self.number, self.stream = 0, 0
        self._copies: list[tuple[int, int, int]] = []
        self.num_waits = 0

    def pinned(self, num_bytes: int) -> Buffer:
        return zeros(num_bytes)

    def copy_to(self, place: int, buffer: Buffer) -> None:
        ctypes.memmove(place, buffer.ctypes.data, buffer.nbytes)

    def copy_from(self, buffer: Buffer, place: int) -> None:
        self._copies.append((buffer.ctypes.data, place, buffer.nbytes))

    def wait(self) -> None:
        self.num_waits += 1
        for copy in self._copies:
            ctypes.memmove(*copy)
        self._copies.clear()


class Device:
    """A session that says it is on a GPU, and what its graphs have captured: each thread for itself."""

    def __init__(self, session: ModelSession, copy_caches: onnxruntime.InferenceSession) -> None:
        loaded = {**session.graphs, GraphName.COPY_CACHES: copy_caches}
        graphs: dict[str, Any] = {name: CapturingGraph(self, name, graph) for name, graph in loaded.items()}
        self.gpu = cast("Any", MainMemory())
        self.session = dataclasses.replace(session, device="cuda", graphs=graphs, gpu=self.gpu)
        self._captured: dict[tuple[int, int], tuple[str, Any]] = {}  # by thread and replay
        self.num_copies = 0
        self.num_captured = 0
        self.threads: set[int] = set()  # that ran anything

    def num_runs(self, graph: str, binding: Any, replay: int | None) -> int:
        assert (replay is None) == (graph in {GraphName.ENCODER, GraphName.COPY_CACHES}), (
            "one that changes in size is no replay"
        )
        self.num_copies += graph == GraphName.COPY_CACHES
        thread = threading.get_ident()
        self.threads.add(thread)
        if replay is None:
            return 1
        num_runs = 1 if (thread, replay) in self._captured else 3
        self.num_captured += num_runs == 3
        assert self._captured.setdefault((thread, replay), (graph, binding)) == (graph, binding)
        return num_runs

    def release(self, replay: int) -> None:
        del self._captured[threading.get_ident(), replay]  # that of another thread is none of its own


@pytest.fixture
def device(
    monkeypatch: pytest.MonkeyPatch, exported: dict[str, Exported]
) -> Callable[[ModelSession], Device]:
    """Put a session on the stand-in; nothing there is shared with NumPy's arrays."""

    def on_device(array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array.copy(), "cpu", 0)

    monkeypatch.setattr(cuda_tensors, "_DEVICE", ("cpu", 0))
    monkeypatch.setattr(cuda_tensors, "_on_device", on_device)
    copy_caches = onnxruntime.InferenceSession(
        exported[GraphName.COPY_CACHES].model.SerializeToString(), providers=[CPU]
    )
    return lambda session: Device(session, copy_caches)


def assert_same(found: StepOutputs, expected: StepOutputs, rows: list[int]) -> None:
    """What `expected` has, bit by bit, in the rows that are in use."""
    for name in ("greedy", "candidates"):
        one, other = getattr(found, name), getattr(expected, name)
        if other is not None:
            assert isinstance(one, Best)
            np.testing.assert_array_equal(one.token[rows], other.token[rows])
            np.testing.assert_array_equal(one.score[rows], other.score[rows])
    assert expected.log_probs is not None
    assert found.log_probs is not None
    np.testing.assert_array_equal(found.log_probs[rows], expected.log_probs[rows])
    assert found.extra.keys() == expected.extra.keys()
    for name, array in expected.extra.items():
        np.testing.assert_array_equal(found.extra[name][rows], array[rows], err_msg=name)


class Lanes:
    """The same sequences in a lane of each kind."""

    def __init__(self, session: ModelSession, on_gpu: Device, width: int) -> None:
        shape = LaneShape(rows=6, width=width, source_capacity=16, columns=24)
        self.lanes = (
            new_lane_tensors(GraphRunner(session), shape),
            new_lane_tensors(GraphRunner(on_gpu.session), shape),
        )
        self.width = width
        self.rows: list[int] = []
        self.random = np.random.default_rng(width)

    def join(self, row: int, num_tokens: int) -> None:
        source = np.zeros((1, 16), np.int64)
        source[0, :num_tokens] = self.random.integers(300, 600, num_tokens)
        for lane in self.lanes:
            lane.encode(source, np.array([num_tokens]), np.array([row]))
            lane.reset(row, num_tokens)
        self.rows = sorted({*self.rows, row})

    def leave(self, row: int) -> None:
        for lane in self.lanes:
            lane.reset(row)
        self.rows.remove(row)

    def step(self, asked: Outputs) -> None:
        expected, found = (lane.step(max(2, self.rows[-1] + 1), asked) for lane in self.lanes)
        assert_same(found, expected, self.rows)
        continuations = {}
        for row in self.rows:
            drawn = self.random.integers(0, self.width, self.width).tolist()
            parents = [drawn[i] for i in keep_places(drawn)]
            tokens = self.random.integers(300, 600, self.width).tolist()
            continuations[row] = Continuation(parents, tokens)
        for lane in self.lanes:
            lane.advance(continuations)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("kind", MODELS)
def test_every_step_gives_what_it_gives_on_cpu(
    request: pytest.FixtureRequest, device: Callable[[ModelSession], Device], kind: str, width: int
) -> None:
    """Rows join when others are well on their way, so that a number of rows is new in the midst of them."""
    session: ModelSession = request.getfixturevalue(kind)
    on_gpu = device(session)
    lanes = Lanes(session, on_gpu, width)
    lanes.join(0, 9)
    for _ in range(3):
        lanes.step(EVERYTHING)
    lanes.join(2, 16)
    for _ in range(3):
        lanes.step(EVERYTHING)
    lanes.join(5, 3)
    lanes.join(1, 12)
    for _ in range(3):
        lanes.step(EVERYTHING)
    lanes.leave(0)
    lanes.leave(5)
    lanes.step(EVERYTHING)
    lanes.join(0, 5)
    for _ in range(3):
        lanes.step(EVERYTHING)
    graphs = {graph for graph, _ in on_gpu._captured.values()}
    assert graphs == {GraphName.DECODER_STEP, GraphName.LOG_PROBS, GraphName.CANDIDATES} | (
        {GraphName.ATTENTION} & session.manifest.graphs.keys()
    )
    assert len(on_gpu._captured) == 3 * len(graphs), "2, 4 and 6 rows"
    assert (on_gpu.num_copies > 0) == (kind == "tiny_session" and width > 1)


def request_of(sequence_id: int, method: Method, first: int = 300, limit: int = 20) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=tuple(first + i for i in range(CAPACITY // 2 + 1 + sequence_id % 20)),
        method=method,
        length_penalty=1.0,
        max_target_tokens=limit,
    )


def run(engine: Engine, requests: list[SequenceRequest]) -> dict[int, Finished | Failed]:
    results: dict[int, Finished | Failed] = {}
    waiting = Scheduler()
    for request in requests:
        waiting.add(request)
    while waiting or engine.num_running:
        for report in (engine.admit(waiting.take(engine.num_free, engine.reserve)), engine.decode_step()):
            results |= {result.sequence_id: result for result in report.results} if report else {}
        engine.check()
    return results


@pytest.mark.parametrize("kind", MODELS)
def test_an_engine_finds_what_it_finds_on_cpu(
    request: pytest.FixtureRequest, device: Callable[[ModelSession], Device], kind: str
) -> None:
    session: ModelSession = request.getfixturevalue(kind)
    requests = [request_of(i, METHODS[i % len(METHODS)], 300 + 7 * i, 5 + 3 * (i % 6)) for i in range(24)]
    expected = run(Engine(session, 5), requests)
    on_gpu = Engine(device(session).session, 5)
    assert run(on_gpu, requests) == expected
    assert all(isinstance(result, Finished) for result in expected.values())
    lengths = {len(r.hypotheses[0].token_ids) for r in expected.values() if isinstance(r, Finished)}
    assert len(lengths) > 3, "they leave at different times"


@pytest.mark.timeout(60)
def test_rows_without_a_number_are_cleared_and_serve_others(
    poisoned_session: ModelSession, device: Callable[[ModelSession], Device]
) -> None:
    """More of them than there are rows."""
    bad = {1, 2, 5, 6}
    requests = [request_of(i, Beam(beam_size=3), POISON if i in bad else 400 + 12 * i) for i in range(10)]
    expected = run(Engine(poisoned_session, 3), requests)
    found = run(Engine(device(poisoned_session).session, 3), requests)
    for results in (expected, found):
        assert {i for i, result in results.items() if isinstance(result, Failed)} == bad
    assert [found[i] for i in found.keys() - bad] == [expected[i] for i in found.keys() - bad]


@pytest.mark.parametrize("kind", MODELS)
def test_a_cleared_row_is_zero_and_no_other_is(
    request: pytest.FixtureRequest, device: Callable[[ModelSession], Device], kind: str
) -> None:
    session = device(request.getfixturevalue(kind)).session
    tensors = new_lane_tensors(
        GraphRunner(session), LaneShape(rows=3, width=2, source_capacity=16, columns=4)
    )
    for value in tensors._storage.pools.values():
        value.update_inplace(np.full(value.shape(), np.nan, np.float32))
    places = {name: value.data_ptr() for name, value in tensors._storage.pools.items()}
    tensors.clear_row(1)
    for name, value in tensors._storage.pools.items():
        by_row = value.numpy().reshape(3, -1)
        assert value.data_ptr() == places[name]
        assert not by_row[1].any(), name
        assert np.isnan(by_row[[0, 2]]).all(), name


def test_a_row_cannot_move(tiny_session: ModelSession, device: Callable[[ModelSession], Device]) -> None:
    shape = LaneShape(rows=2, width=1, source_capacity=16, columns=4)
    on_gpu = device(tiny_session).session
    assert not on_gpu.can_move_rows
    with pytest.raises(NotImplementedError):
        new_lane_tensors(GraphRunner(on_gpu), shape).move_row(1, 0)


def test_what_is_not_asked_for_is_not_fetched_nor_is_attention_computed(
    tiny_session: ModelSession, device: Callable[[ModelSession], Device]
) -> None:
    shape = LaneShape(rows=2, width=2, source_capacity=16, columns=4)
    on_gpu = device(tiny_session)
    outputs = new_lane_tensors(GraphRunner(on_gpu.session), shape).step(2)
    assert [graph for graph, _ in on_gpu._captured.values()] == [
        GraphName.DECODER_STEP,
        GraphName.LOG_PROBS,
        GraphName.CANDIDATES,
    ]
    assert (outputs.log_probs, outputs.greedy, outputs.extra) == (None, None, {})
    best: NDArray[np.int64] | None = outputs.candidates.token if outputs.candidates else None
    assert best is not None
    assert best.shape == (2, 2, 4)


@pytest.mark.parametrize("kind", MODELS)
def test_a_greedy_score_is_fetched_alone(
    request: pytest.FixtureRequest, device: Callable[[ModelSession], Device], kind: str
) -> None:
    """Not with the log-probabilities of the whole vocabulary; which a CPU has at hand."""
    session: ModelSession = request.getfixturevalue(kind)
    lanes = Lanes(session, device(session), 1)
    lanes.join(0, 9)
    expected, found = (lane.step(2, frozenset((GREEDY_SCORE,))) for lane in lanes.lanes)
    assert expected.greedy is not None
    assert found.greedy is not None
    assert (found.greedy.token[0], found.greedy.score[0]) == (
        expected.greedy.token[0],
        expected.greedy.score[0],
    )
    assert found.log_probs is None
    assert found.greedy.score[0] < 0


WARM = [Beam(beam_size=1), Beam(beam_size=4)]


def jobs_of(num_jobs: int) -> list[Job]:
    sources = [request_of(i, WARM[i % 2]).source for i in range(num_jobs)]
    limits = [3 + 4 * (i % 5) for i in range(num_jobs)]
    return [
        Job(
            source=source,
            options=SearchOptions(method=WARM[i % 2], length_penalty=1.0, max_target_tokens=limit),
            deadline=None,
        )
        for i, (source, limit) in enumerate(zip(sources, limits, strict=True))
    ]


def translations(worker: Worker, jobs: list[Job]) -> list[tuple[Hypothesis, ...]]:
    worker.start()
    futures = [future for _, future in worker.submit(jobs)]
    found = [future.result(60) for future in futures]
    worker.stop()
    return found


@pytest.mark.parametrize("kind", MODELS)
def test_what_serves_is_the_thread_that_captured_and_it_captures_nothing_more(
    request: pytest.FixtureRequest, device: Callable[[ModelSession], Device], kind: str
) -> None:
    """All numbers of rows are captured before the first job, each graph in one thread; in the end none is."""
    session: ModelSession = request.getfixturevalue(kind)
    on_gpu = device(session)
    jobs, captured = jobs_of(12), []

    def prepare(engine: Engine) -> None:
        self_check(engine, session.manifest)
        warm_up(engine, session.manifest, 4, by_rows=True)
        captured.append(on_gpu.num_captured)

    found = translations(
        Worker("tiny", [Engine(on_gpu.session, 6)], Metrics(), 99, BusyRunners(), prepare=prepare), jobs
    )
    assert found == translations(Worker("tiny", [Engine(session, 6)], Metrics(), 99, BusyRunners()), jobs)
    assert len(on_gpu.threads) == 1
    assert threading.get_ident() not in on_gpu.threads
    graphs = 3 + (GraphName.ATTENTION in session.manifest.graphs)
    assert captured == [graphs * (len([2, 4, 6]) + len([1, 2, 4, 6]))]
    assert on_gpu.num_captured == captured[0]
    assert not on_gpu._captured, "all are released"


def test_a_lane_that_makes_room_for_another_releases_what_it_captured(
    tiny_session: ModelSession, device: Callable[[ModelSession], Device]
) -> None:
    on_gpu = device(tiny_session)
    needed = largest_lane_bytes(tiny_session.manifest, 2, 3, with_outputs=True)
    engine = Engine(on_gpu.session, 2, needed)
    engine.warm_up(2)
    assert len(on_gpu._captured) == 4 * 2, "1 and 2 rows"
    engine.warm_up(3)
    assert len(on_gpu._captured) == 4 * 2
    assert on_gpu.num_captured == 4 * 4
    engine.clear()
    assert not on_gpu._captured


class CountedTurn:
    """A lock that tells who has it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        self._lock.release()


def test_whatever_uses_the_gpu_holds_its_turn(
    tiny_session: ModelSession, device: Callable[[ModelSession], Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs, captures, releases; and places made there, of which only a capture's thread may make none."""
    turn, on_gpu = CountedTurn(), device(tiny_session)
    num_runs, release, on_device = on_gpu.num_runs, on_gpu.release, cuda_tensors._on_device

    def held(run: Callable[..., Any]) -> Callable[..., Any]:
        def check(*arguments: Any) -> Any:
            assert turn.depth > 0
            return run(*arguments)

        return check

    monkeypatch.setattr(on_gpu, "num_runs", held(num_runs))
    monkeypatch.setattr(on_gpu, "release", held(release))
    monkeypatch.setattr(cuda_tensors, "_on_device", held(on_device))
    engine = Engine(dataclasses.replace(on_gpu.session, turn=turn), 4)
    engine.warm_up(3)
    results = run(engine, [request_of(i, METHODS[i]) for i in range(4)])
    assert all(isinstance(result, Finished) for result in results.values())
    engine.clear()
    assert turn.depth == 0


def test_a_step_waits_once(tiny_session: ModelSession, device: Callable[[ModelSession], Device]) -> None:
    on_gpu = device(tiny_session)
    lanes = Lanes(tiny_session, on_gpu, 2)
    lanes.join(0, 9)
    for _ in range(3):
        lanes.step(EVERYTHING)
    assert on_gpu.num_copies > 0
    assert on_gpu.gpu.num_waits == 3


@pytest.mark.parametrize("fails", ["copy_to", "copy_from", "wait"])
def test_a_copy_that_fails_is_an_inference_error_of_the_rows_concerned(
    tiny_session: ModelSession,
    device: Callable[[ModelSession], Device],
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
) -> None:
    def fail(*_: object) -> None:
        monkeypatch.setattr(driver, fails, lambda *_: None)
        raise GpuError(fails, 2)

    session = device(tiny_session).session
    driver: Any = session.gpu
    on_gpu = Engine(session, 2)
    requests = [request_of(i, Beam(beam_size=2)) for i in range(2)]
    for request in requests:
        on_gpu.reserve(request)
    on_gpu.admit(requests)
    on_gpu.decode_step()
    monkeypatch.setattr(driver, fails, fail)
    report = on_gpu.decode_step()
    assert report is not None
    assert {result.sequence_id for result in report.results} == {0, 1}
    for result in report.results:
        assert isinstance(result, Failed)
        assert isinstance(result.error, InferenceError)
        assert result.error.kind == "out_of_memory"
    assert on_gpu.num_running == 0
