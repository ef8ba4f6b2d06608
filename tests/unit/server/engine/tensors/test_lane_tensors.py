"""Pools whose axes stand anywhere, what a step binds, and which columns are copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from model.text.special_ids import SpecialIds
from server.engine.graph_runner import GraphRunner
from server.engine.lane import LaneKey, lane_shape, largest_lane_bytes
from server.engine.searches.search import Continuation, keep_places
from server.engine.session import ModelSession
from server.engine.tensors.bindings import MAX_BINDINGS
from server.engine.tensors.host import HostStorage
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.lane_tensors import LaneTensors, new_lane_tensors

WIDTH = 3
COLUMNS = 5
VOCABULARY = 8


def spec(name: str, *shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


CACHES = (
    spec("by_head", "hypotheses", 2, "columns", 4),
    spec("columns_last", "hypotheses", 5, "columns"),
    spec("by_head_too", "hypotheses", 2, "columns", 4),
    spec("half", "hypotheses", 2, "columns", 4, dtype="float16"),
)
STATES = (spec("state", "rows", "beam", 2, 6),)
MEMORY = (
    spec("keys", "rows", "source_capacity", 7),
    spec("first", "rows", 1, 6),
    spec("both", "rows", 2, "source_capacity"),
)
QUERIES = tuple(spec(f"query_{i}", "rows", "beam", 6) for i in (0, 1))
ATTENTIONS = tuple(spec(f"attention_{i}", "rows", 2, "beam", "source_capacity") for i in (0, 1))
CONTROLS = ("token", "position", "source_length")
SCORES = {
    GraphName.DECODER_STEP: (
        spec("logits", "rows", "beam", VOCABULARY),
        spec("hidden", "rows", "beam", 6),
        ATTENTIONS[0],
    ),
    GraphName.LOG_PROBS: (spec("log_probs", "rows", "beam", VOCABULARY),),
    GraphName.CANDIDATES: (
        spec("best_log_probs", "rows", "beam", "2*beam"),
        spec("best_token", "rows", "beam", "2*beam", dtype="int64"),
    ),
}


class Binding:
    """Remembers what was bound, and where."""

    def __init__(self, graph: str) -> None:
        self.graph = graph
        self.inputs: dict[str, tuple[Any, ...]] = {}
        self.outputs: dict[str, tuple[Any, ...]] = {}

    def bind_input(self, name: str, *place: Any) -> None:
        self.inputs[name] = place

    def bind_output(self, name: str, *place: Any) -> None:
        self.outputs[name] = place

    def bind_cpu_input(self, name: str, array: NDArray[Any]) -> None:
        self.inputs[name] = (array,)


class Session:
    """A session whose graphs compute nothing.

    Args:
        has_attention_graph: Instead of attention its steps give queries, and memory as they found it.
    """

    is_exclusive = False

    def __init__(self, *, has_states: bool = True, has_attention_graph: bool = False) -> None:
        states = STATES if has_states else ()
        controls = [spec(name, "rows") for name in (*CONTROLS, *(["parent"] * has_states))]
        written = [*CACHES, *states, *(MEMORY if has_attention_graph else ())]
        *scores, attention = SCORES[GraphName.DECODER_STEP]
        results = [*scores, *(QUERIES if has_attention_graph else [attention])]
        new = [spec(name, "rows") for name in ("source", "source_length", "slot")]
        graphs = {
            GraphName.ENCODER: ([*new, *MEMORY], [spec(f"{pool.name}_out", *pool.shape) for pool in MEMORY]),
            GraphName.DECODER_STEP: (
                [*controls, *CACHES, *states, *MEMORY],
                [*results, *(spec(f"{pool.name}_out", *pool.shape) for pool in written)],
            ),
            GraphName.LOG_PROBS: ([SCORES[GraphName.DECODER_STEP][0]], SCORES[GraphName.LOG_PROBS]),
            GraphName.CANDIDATES: (SCORES[GraphName.LOG_PROBS], SCORES[GraphName.CANDIDATES]),
        }
        if has_attention_graph:
            graphs[GraphName.ATTENTION] = ([spec("source_length", "rows"), *QUERIES, MEMORY[0]], ATTENTIONS)
        self.manifest = SimpleNamespace(
            multiplies_integers=False,
            caches=CACHES,
            states=states,
            memory=MEMORY,
            special_ids=SpecialIds(padding=0, unknown=1, start=2, end=3),
            graphs={name: SimpleNamespace(inputs=i, outputs=o) for name, (i, o) in graphs.items()},
            has_capacities=True,
            max_source_tokens=50,
            max_target_tokens=COLUMNS,
        )
        self.session = SimpleNamespace(manifest=self.manifest, device="cpu", shortlist=None)
        self.runs: list[Binding] = []

    def binding(self, graph: str) -> Binding:
        return Binding(graph)

    def run(self, graph: str, binding: Binding) -> None:
        assert binding.graph == graph
        self.runs.append(binding)

    def graphs_run(self) -> list[str]:
        """What ran since this was asked before."""
        graphs = [binding.graph for binding in self.runs]
        self.runs.clear()
        return graphs


def lane(session: Session, rows: int = 3, width: int = WIDTH) -> LaneTensors:
    shape = LaneShape(rows=rows, width=width, source_capacity=4, columns=COLUMNS)
    return new_lane_tensors(cast("GraphRunner", session), shape)


def fill(tensors: LaneTensors, value: float) -> None:
    for pool in tensors._storage.pools.values():
        pool[:] = value


def outputs_of(tensors: LaneTensors) -> dict[str, NDArray[Any]]:
    assert isinstance(tensors._storage, HostStorage)
    return tensors._storage.outputs


def place_of(array: NDArray[Any]) -> tuple[Any, ...]:
    return ("cpu", 0, array.dtype, array.shape, array.ctypes.data)


def columns_of(tensors: LaneTensors, name: str) -> NDArray[Any]:
    """A cache as (hypotheses, columns, ...)."""
    (shape,) = (cache.shape for cache in CACHES if cache.name == name)
    pool: NDArray[Any] = np.moveaxis(tensors._storage.pools[name], shape.index("columns"), 1)
    return pool


@dataclass
class FullCopies:
    """Caches the slow way: each hypothesis has its whole past as a list, copied with it.

    The lane's graph is played too: each step writes a number of its own into each hypothesis' next column.
    """

    tensors: LaneTensors
    pasts: dict[int, list[list[int]]] = field(default_factory=dict)  # of each row, of each hypothesis
    copied: list[tuple[int, int, int, int]] = field(default_factory=list)
    written: int = 0

    def __post_init__(self) -> None:
        copy = self.tensors._storage.copy_columns

        def spy(from_hypothesis: int, to_hypothesis: int, start: int, end: int) -> None:
            self.copied.append((from_hypothesis, to_hypothesis, start, end))
            copy(from_hypothesis, to_hypothesis, start, end)

        self.tensors._storage.copy_columns = spy  # type: ignore[method-assign]

    def join(self, row: int) -> None:
        self.tensors.reset(row, 2)
        self.pasts[row] = [[] for _ in range(WIDTH)]

    def step(self) -> None:
        for row, pasts in self.pasts.items():
            position = int(self.tensors.controls.position[row])
            for own, past in enumerate(pasts):
                self.written += 1
                past.append(self.written)
                for cache in CACHES:
                    columns_of(self.tensors, cache.name)[row * WIDTH + own, position] = self.written

    def advance(self, parents: dict[int, list[int]]) -> None:
        """The rows that go on, all at once."""
        self.copied.clear()
        self.tensors.advance({row: Continuation(of_row, [7] * WIDTH) for row, of_row in parents.items()})
        assert self.copied == [
            (row * WIDTH + parent, row * WIDTH + own, difference(pasts[parent], pasts[own]), len(pasts[own]))
            for row, of_row in parents.items()
            for pasts in [self.pasts[row]]
            for own, parent in enumerate(of_row)
            if parent != own
        ], "only who gets another past, and of it what differs"
        for row, of_row in parents.items():
            self.pasts[row] = [list(self.pasts[row][parent]) for parent in of_row]

    def move(self, row: int, other_row: int) -> None:
        self.tensors.move_row(row, other_row)
        self.pasts[other_row] = self.pasts.pop(row)
        self.tensors.reset(row)

    def check(self) -> None:
        for row, pasts in self.pasts.items():
            for own, past in enumerate(pasts):
                for cache in CACHES:
                    found = columns_of(self.tensors, cache.name)[row * WIDTH + own, : len(past)]
                    assert [np.unique(column).tolist() for column in found] == [[n] for n in past]


def difference(one: list[int], other: list[int]) -> int:
    """The first column in which they differ."""
    return next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


rows = st.integers(0, 2)
continuations = st.lists(st.integers(0, WIDTH - 1), min_size=WIDTH, max_size=WIDTH)
events = st.one_of(
    st.tuples(st.just("join"), rows),
    st.tuples(st.just("move"), rows, rows),
    *[st.tuples(st.just("step"), st.tuples(continuations, continuations, continuations))] * 4,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=25))
def test_every_hypothesis_has_its_own_past_and_only_what_differs_is_copied(
    events: list[tuple[Any, ...]],
) -> None:
    lanes = FullCopies(lane(Session()))
    for event, *arguments in events:
        if event == "join":
            lanes.join(arguments[0])
        elif event == "move":
            row, other = arguments
            if row in lanes.pasts and other not in lanes.pasts:
                lanes.move(row, other)
        else:
            lanes.step()
            going_on = {}
            for row, parents in enumerate(arguments[0]):
                if row in lanes.pasts and len(lanes.pasts[row][0]) < COLUMNS:
                    going_on[row] = [parents[i] for i in keep_places(parents)]
                else:
                    lanes.pasts.pop(row, None)  # at the longest target it leaves
                    lanes.tensors.reset(row)
            lanes.advance(going_on)
        lanes.check()


def test_a_model_without_caches_copies_nothing() -> None:
    session = Session()
    session.manifest.caches = ()
    tensors = lane(session)
    tensors.advance({1: Continuation([1, 1, 1], [7, 8, 9])})
    assert tensors.controls.parent[1].tolist() == [1, 1, 1]


def test_a_moved_row_takes_what_is_in_use_along_each_axis_and_leaves_all_else() -> None:
    tensors = lane(Session(), 4)
    tensors.reset(3, source_length=3)
    for _ in range(2):
        tensors.advance({3: Continuation([0, 1, 0], [7, 8, 9])})
    for pool in tensors._storage.pools.values():
        by_row = pool.reshape(4, -1)
        by_row[:], by_row[3] = -1.0, 1.0
    tensors.move_row(3, 1)
    used = {
        "by_head": np.s_[3:6, :, :2],
        "columns_last": np.s_[3:6, :, :2],
        "by_head_too": np.s_[3:6, :, :2],
        "half": np.s_[3:6, :, :2],
        "state": np.s_[1:2],
        "keys": np.s_[1:2, :3],
        "first": np.s_[1:2],
        "both": np.s_[1:2, :, :3],
    }
    assert used.keys() == tensors._storage.pools.keys()
    for name, place in used.items():
        expected = np.full_like(tensors._storage.pools[name], -1.0)
        expected.reshape(4, -1)[3] = 1.0
        expected[place] = 1.0
        np.testing.assert_array_equal(tensors._storage.pools[name], expected, err_msg=name)
    assert tensors.controls.token[1].tolist() == [7, 8, 9]
    assert tensors.controls.parent[1].tolist() == [0, 1, 0]
    assert (tensors.controls.position[1], tensors.controls.source_length[1]) == (2, 3)


def test_a_cleared_row_is_zero_and_no_other_is() -> None:
    tensors = lane(Session())
    fill(tensors, np.nan)
    tensors.clear_row(1)
    for name, pool in tensors._storage.pools.items():
        by_row = pool.reshape(3, -1)
        assert not by_row[1].any(), name
        assert np.isnan(by_row[[0, 2]]).all(), name


def test_a_step_computes_and_fetches_what_is_asked_for_and_no_more() -> None:
    session = Session()
    tensors = lane(session)
    outputs = tensors.step(2)
    assert (outputs.greedy, outputs.candidates, outputs.log_probs, outputs.extra) == (None, None, None, {})
    assert session.graphs_run() == [GraphName.DECODER_STEP]
    outputs = tensors.step(2, frozenset((GraphName.LOG_PROBS,)))
    assert outputs.log_probs is not None
    assert outputs.log_probs.shape == (2, WIDTH, VOCABULARY)
    assert (outputs.candidates, session.graphs_run()) == (None, [GraphName.DECODER_STEP, GraphName.LOG_PROBS])
    outputs = tensors.step(2, frozenset((GraphName.CANDIDATES,)))
    assert outputs.candidates is not None
    assert outputs.candidates.token.shape == outputs.candidates.score.shape == (2, WIDTH, 2 * WIDTH)
    assert (outputs.log_probs, session.graphs_run()) == (
        None,
        [GraphName.DECODER_STEP, GraphName.LOG_PROBS, GraphName.CANDIDATES],
    )
    outputs = tensors.step(2, frozenset(("hidden", "attention_0")))
    assert outputs.extra.keys() == {"hidden", "attention_0"}
    assert outputs.extra["attention_0"].shape == (2, 2, WIDTH, 4)
    assert session.graphs_run() == [GraphName.DECODER_STEP]


def test_a_step_binds_every_pool_in_place_and_only_the_controls_there_are() -> None:
    for has_states in (True, False):
        session = Session(has_states=has_states)
        tensors = lane(session)
        tensors.step(2, frozenset(("hidden",)))
        (binding,) = session.runs
        written = [pool.name for pool in (*CACHES, *(STATES if has_states else ()))]
        controls = {*CONTROLS, *(["parent"] * has_states)}
        assert set(binding.inputs) == controls | {*written, *(pool.name for pool in MEMORY)}
        assert set(binding.outputs) == {"logits", "hidden", *(f"{name}_out" for name in written)}
        for name in written:
            assert binding.inputs[name] == binding.outputs[f"{name}_out"], "a step copies nothing"
        for cache in CACHES:
            assert binding.inputs[cache.name] == place_of(tensors._storage.pools[cache.name][: 2 * WIDTH])
        assert binding.inputs["keys"] == place_of(tensors._storage.pools["keys"][:2])
        assert binding.inputs["token"] == place_of(tensors.controls.token[:2])


def test_attention_is_made_of_a_steps_queries_only_where_it_is_asked_for() -> None:
    session = Session(has_attention_graph=True)
    tensors = lane(session)
    outputs = tensors.step(2, frozenset(("hidden",)))
    assert outputs.extra.keys() == {"hidden"}
    (step,) = session.runs
    assert not step.outputs.keys() & {query.name for query in QUERIES}
    session.runs.clear()
    outputs = tensors.step(2, frozenset(("hidden", "attention_1", GraphName.LOG_PROBS)))
    assert outputs.extra.keys() == {"hidden", "attention_1"}
    assert outputs.extra["attention_1"].shape == (2, 2, WIDTH, 4)
    step, attention, log_probs = session.runs
    assert (attention.graph, log_probs.graph) == (GraphName.ATTENTION, GraphName.LOG_PROBS)
    assert step.outputs.keys() >= {"logits", "hidden"}
    assert not step.outputs.keys() & {"attention_0", "attention_1"}
    assert attention.inputs == {
        "source_length": place_of(tensors.controls.source_length[:2]),
        **{query.name: step.outputs[query.name] for query in QUERIES},
        "keys": step.inputs["keys"],
    }
    assert attention.outputs == {"attention_1": place_of(outputs.extra["attention_1"])}


def test_memory_that_a_step_gives_back_stays_in_its_place() -> None:
    """Whatever is asked for: an operator may look there, and a copy would take time."""
    session = Session(has_attention_graph=True)
    tensors = lane(session)
    for asked in ((), ("hidden",), ("attention_0",)):
        session.runs.clear()
        tensors.step(2, frozenset(asked))
        for pool in MEMORY:
            place = place_of(tensors._storage.pools[pool.name][:2])
            assert session.runs[0].inputs[pool.name] == session.runs[0].outputs[f"{pool.name}_out"] == place


def test_each_graph_reads_what_the_one_before_it_wrote() -> None:
    session = Session()
    lane(session).step(2, frozenset((GraphName.CANDIDATES,)))
    step, log_probs, candidates = session.runs
    assert log_probs.inputs == {"logits": step.outputs["logits"]}
    assert candidates.inputs == {"log_probs": log_probs.outputs["log_probs"]}
    assert candidates.outputs.keys() == {"best_log_probs", "best_token"}


def test_sources_are_encoded_into_all_rows_of_the_memory_and_no_cache() -> None:
    session = Session()
    tensors = lane(session)
    source, length, slot = np.ones((2, 4), np.int64), np.array([3, 4]), np.array([2, 0])
    tensors.encode(source, length, slot)
    (binding,) = session.runs
    pools = {pool.name: place_of(tensors._storage.pools[pool.name]) for pool in MEMORY}
    assert binding.graph == GraphName.ENCODER
    assert binding.inputs == {"source": (source,), "source_length": (length,), "slot": (slot,), **pools}
    assert binding.outputs == {f"{name}_out": place for name, place in pools.items()}


def test_greedy_steps_give_the_best_token_with_its_logit_or_its_log_probability() -> None:
    tensors = lane(Session(), 2, width=1)
    tensors.step(2, frozenset((GraphName.LOG_PROBS,)))
    outputs_of(tensors)["logits"][:] = np.array([[[0, 3, 1, 3, 0, 0, 0, 0]], [[5, 2, 1, 0, 0, 0, 0, 0]]])
    outputs_of(tensors)["log_probs"][:] = outputs_of(tensors)["logits"] - 10
    without, with_scores = tensors.step(2), tensors.step(2, frozenset((GraphName.LOG_PROBS,)))
    assert without.greedy is not None
    assert with_scores.greedy is not None
    for greedy in (without.greedy, with_scores.greedy):
        assert greedy.token.tolist() == [1, 0], "of equal ones the first"
    assert without.greedy.score.tolist() == [3, 5]
    assert with_scores.greedy.score.tolist() == [-7, -5]


def test_of_logits_without_a_number_the_best_is_none() -> None:
    tensors = lane(Session(), 2, width=1)
    tensors.step(2)
    outputs_of(tensors)["logits"][:] = 1.0
    outputs_of(tensors)["logits"][1, 0, 5] = np.nan
    greedy = tensors.step(2).greedy
    assert greedy is not None
    assert np.isnan(greedy.score).tolist() == [False, True]


def test_bindings_are_kept_and_do_not_pile_up() -> None:
    session = Session()
    tensors = lane(session, 2 * MAX_BINDINGS, width=1)
    for asked in ((), ("hidden",), ()):
        tensors.step(2, frozenset(asked))
    assert session.runs[0] is session.runs[2] is not session.runs[1]
    for rows in range(3, MAX_BINDINGS + 10):
        tensors.step(rows)
        assert len(tensors._bindings) <= MAX_BINDINGS
    assert session.runs[-1].inputs["token"] == place_of(tensors.controls.token[: MAX_BINDINGS + 9])


@pytest.mark.parametrize("kind", ["tiny_session", "recurrent_session"])
@pytest.mark.parametrize("width", [1, 3])
def test_the_bytes_of_a_lane_are_those_that_are_allocated(
    request: pytest.FixtureRequest, kind: str, width: int
) -> None:
    session: ModelSession = request.getfixturevalue(kind)
    shape = LaneShape(rows=5, width=width, source_capacity=16, columns=9)
    tensors = new_lane_tensors(GraphRunner(session), shape)
    assert shape.num_bytes(session.manifest) == sum(pool.nbytes for pool in tensors._storage.pools.values())
    bases = {
        id(pool.base if pool.base is not None else pool): pool for pool in tensors._storage.pools.values()
    }
    held = sum((pool.base if pool.base is not None else pool).nbytes for pool in bases.values())
    assert shape.num_bytes(session.manifest) == held, "stacks hold no more than their caches"


@pytest.mark.parametrize(("has_capacities", "capacities"), [(True, (16, 32, 64)), (False, (64,))])
@pytest.mark.parametrize("num_slots", [1, 2, 3, 64])
def test_no_lane_takes_more_than_the_largest(
    num_slots: int, capacities: tuple[int, ...], *, has_capacities: bool
) -> None:
    session = Session()
    session.manifest.has_capacities = has_capacities
    manifest = cast("ModelSession", session).manifest
    shapes = [
        lane_shape(manifest, LaneKey(width=width, capacity=capacity), num_slots)
        for width in range(1, 17)
        for capacity in capacities
    ]
    sizes = [shape.num_bytes(manifest) for shape in shapes]
    assert max(sizes) == largest_lane_bytes(manifest, num_slots, 16)
    assert all(shape.rows * shape.width >= 2 and shape.columns > COLUMNS for shape in shapes)
    assert all(shape.rows * shape.width <= 4 * num_slots + 2 * shape.width for shape in shapes)
