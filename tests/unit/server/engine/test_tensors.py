"""Rows of pools whose axes stand anywhere, and what a step binds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from export.manifest import BEAM, GREEDY, SpecialIds, TensorInfo
from server.engine.search import Continuation
from server.engine.session import ModelSession
from server.engine.tensors import MAX_BINDINGS, LaneTensors, new_lane_tensors

WIDTH = 3


def spec(name: str, *shape: int | str, dtype: str = "float32") -> TensorInfo:
    return TensorInfo(name=name, dtype=dtype, shape=("rows", *shape))


CACHES = (spec("by_head", 2, "columns", 4), spec("columns_last", 5, "columns"))
STATES = (spec("state", "beam", 2, 6),)
MEMORY = (spec("keys", "source_capacity", 7), spec("first", 1, 6), spec("both", 2, "source_capacity"))
SCORES = ("log_probs", "best_log_probs", "best_token", "hidden", "attention_0", "attention_1")


class Binding:
    """Remembers what was bound."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def bind_input(self, name: str, *place: Any) -> None:
        self.inputs.append(name)

    def bind_output(self, name: str, *place: Any) -> None:
        self.outputs.append(name)


class Session:
    """A session whose graphs compute nothing."""

    device = "cpu"

    def __init__(self, *, has_states: bool = True) -> None:
        controls = ["token", "position", "source_length", "is_ancestor", *(["parent"] * has_states)]
        scores = [
            spec(name, "beam", "2*beam" if name.startswith("best") else "source_capacity") for name in SCORES
        ]
        graph = SimpleNamespace(inputs=[spec(name) for name in controls], outputs=scores)
        self.manifest = SimpleNamespace(
            caches=CACHES,
            states=STATES if has_states else (),
            memory=MEMORY,
            special_ids=SpecialIds(padding=0, unknown=1, start=2, end=3),
            graphs={GREEDY: graph, BEAM: graph},
        )
        self.runs: list[Binding] = []

    def binding(self, graph: str) -> Binding:
        return Binding()

    def run(self, graph: str, binding: Binding) -> None:
        self.runs.append(binding)


def lane(session: Session, rows: int, capacity: int, width: int = WIDTH) -> LaneTensors:
    return new_lane_tensors(cast("ModelSession", session), rows, width, capacity)


def fill(tensors: LaneTensors, value: float) -> None:
    for pool in tensors._pools.values():
        pool[:] = value


@pytest.mark.parametrize("larger", [4, 8])
def test_a_moved_row_takes_what_is_in_use_along_each_axis(larger: int) -> None:
    session = Session()
    here, there = lane(session, 3, 4), lane(session, 4, larger)
    fill(here, 1.0)
    fill(there, -1.0)
    here.controls.reset(2, source_length=3)
    for _ in range(2):
        here.controls.advance(2, Continuation([2, 0, 0], [7, 8, 9]))
    here.move_row(2, there, 1)
    columns = 2 * WIDTH
    used = {
        "by_head": np.s_[:, :columns],
        "columns_last": np.s_[:, :columns],
        "state": np.s_[:],
        "keys": np.s_[:3],
        "first": np.s_[:],
        "both": np.s_[:, :3],
    }
    for name, place in used.items():
        expected = np.full_like(there._pools[name], -1.0)
        expected[1][place] = 1.0
        np.testing.assert_array_equal(there._pools[name], expected, err_msg=name)
    assert there.controls.token[1].tolist() == [7, 8, 9]
    assert there.controls.parent is not None
    assert there.controls.parent[1].tolist() == [2, 0, 0]
    assert (there.controls.position[1], there.controls.source_length[1]) == (2, 3)


def test_a_cleared_row_is_zero_and_no_other_is() -> None:
    tensors = lane(Session(), 3, 4)
    fill(tensors, np.nan)
    assert tensors.clear_row(1)
    for pool in tensors._pools.values():
        assert not pool[1].any()
        assert np.isnan(pool[[0, 2]]).all()


def test_a_step_fetches_what_is_asked_for_and_no_more() -> None:
    session = Session()
    tensors = lane(session, 3, 4)
    for extra in (frozenset[str](), frozenset(("hidden", "attention_1")), frozenset[str]()):
        outputs = tensors.step(2, extra)
        assert outputs.best_log_probs.shape == outputs.best_token.shape == (2, WIDTH, 2 * WIDTH)
        assert outputs.log_probs is None
        assert extra <= outputs.extra.keys()
        fetched = set(session.runs[-1].outputs) & set(SCORES)
        assert fetched == {"best_log_probs", "best_token"} | extra
    assert session.runs[0] is session.runs[2] is not session.runs[1], "bindings are kept"


def test_a_step_binds_every_pool_and_only_the_controls_there_are() -> None:
    for has_states in (True, False):
        session = Session(has_states=has_states)
        lane(session, 2, 4).step(2)
        written = [pool.name for pool in (*CACHES, *(STATES if has_states else ()))]
        controls = {"token", "position", "source_length", "is_ancestor"} | (
            {"parent"} if has_states else set()
        )
        assert set(session.runs[0].inputs) == controls | {*written, *(pool.name for pool in MEMORY)}
        assert set(session.runs[0].outputs) - set(SCORES) == {f"{name}_out" for name in written}


def test_greedy_steps_give_every_log_probability_and_the_best() -> None:
    tensors = lane(Session(), 2, 4, width=1)
    outputs = tensors.step(2)
    assert outputs.log_probs is not None
    outputs.log_probs[:] = np.array([[[0, 3, 1, 3]], [[5, 2, 1, 0]]])
    outputs = tensors.step(2)
    assert outputs.best_token.tolist() == [[[1]], [[0]]], "of equal ones the first"
    assert outputs.best_log_probs.tolist() == [[[3]], [[5]]]


def test_kept_bindings_do_not_pile_up() -> None:
    tensors = lane(Session(), 2 * MAX_BINDINGS, 2)
    for rows in range(1, MAX_BINDINGS + 10):
        tensors.step(rows)
    assert len(tensors._bindings) == 9
