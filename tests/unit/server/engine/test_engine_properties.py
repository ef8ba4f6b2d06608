"""Whatever is submitted, cancelled and stepped, in whatever order, the engine keeps its promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.engine import Engine, StepReport
from server.engine.sequence import (
    AttentionChoice,
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

FIRST_PIECE = 300  # ordinary pieces; those below are special ones, tags and bytes
POISON = 333  # as `poisoned_session` has it


METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=2),
    Beam(beam_size=3),
    Sampling(temperature=1.0, top_k=0, top_p=0.95, seed=1),
    Sampling(temperature=0.7, top_k=20, top_p=1.0, seed=2),
    Contrastive(top_k=1, penalty_alpha=0.6),
    Contrastive(top_k=2, penalty_alpha=0.6),
    Contrastive(top_k=3, penalty_alpha=0.9),
]
CHOICES = [None, None, AttentionChoice(layer=0, heads=(0,)), AttentionChoice(layer=0, heads=(0,) * 2)]


def request_of(
    sequence_id: int,
    num_tokens: int,
    method: Method,
    limit: int,
    attention: AttentionChoice | None = None,
    *,
    first: int = FIRST_PIECE,
) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=tuple(first + i for i in range(num_tokens)),
        method=method,
        length_penalty=1.0,
        max_target_tokens=limit,
        attention=attention,
    )


@dataclass
class Drive:
    """An engine, and what was seen of it; every call checks the invariants."""

    engine: Engine
    submitted: list[int] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    finished: dict[int, Finished | Failed] = field(default_factory=dict)

    def submit(self, request: SequenceRequest) -> None:
        self.engine.submit(request)
        self.submitted.append(request.sequence_id)
        self.engine.check()

    def cancel(self, sequence_id: int) -> None:
        is_live = sequence_id not in {*self.finished, *self.cancelled}
        is_running = is_live and sequence_id in self.joined
        before = self.engine.num_running, self.engine.num_waiting
        assert self.engine.cancel(sequence_id) == is_live
        expected = (before[0] - is_running, before[1] - (is_live and not is_running))
        assert (self.engine.num_running, self.engine.num_waiting) == expected
        self.cancelled += [sequence_id] * is_live
        self.engine.check()

    def step(self) -> None:
        self._see(self.engine.admit())
        assert self.engine.num_running == self.engine.num_slots or self.engine.num_waiting == 0
        num_running = self.engine.num_running
        report = self.engine.decode_step()
        assert (report.num_sequences if report else 0) == num_running
        self._see(report)

    def _see(self, report: StepReport | None) -> None:
        for result in report.results if report else ():
            assert result.sequence_id not in {*self.finished, *self.cancelled}, "it ended twice"
            self.finished[result.sequence_id] = result
        self.joined += sorted(report.joined) if report else ()
        assert report is None or 0 <= report.padding_ratio < 1
        self.engine.check()

    def run_out(self) -> None:
        for _ in range(1000):
            if not (self.engine.num_waiting or self.engine.num_running):
                break
            self.step()
        assert self.engine.admit() is None
        assert self.engine.decode_step() is None


shapes = st.tuples(
    st.integers(1, 40), st.sampled_from(METHODS), st.sampled_from([1, 2, 5, 40]), st.sampled_from(CHOICES)
)
submits = shapes.map(lambda shape: ("submit", *shape))
cancels = st.tuples(st.just("cancel"), st.integers(0, 30))
steps = st.tuples(st.just("step"))


@settings(max_examples=50, deadline=None)
@given(
    num_slots=st.integers(1, 4),
    actions=st.lists(st.one_of(submits, submits, steps, steps, cancels), max_size=30),
)
def test_every_sequence_ends_exactly_once_in_its_own_slot(
    tiny_session: ModelSession, num_slots: int, actions: list[tuple[Any, ...]]
) -> None:
    drive = Drive(Engine(tiny_session, num_slots))
    for action, *arguments in actions:
        if action == "submit":
            drive.submit(request_of(len(drive.submitted), *arguments))
        elif action == "cancel" and drive.submitted:
            drive.cancel(arguments[0] % len(drive.submitted))
        elif action == "step":
            drive.step()
    drive.run_out()
    assert sorted([*drive.finished, *drive.cancelled]) == drive.submitted
    assert drive.joined == sorted(drive.joined), "first come, first admitted"
    assert all(isinstance(result, Finished) for result in drive.finished.values())


@settings(max_examples=20, deadline=None)
@given(shapes=st.lists(shapes, min_size=2, max_size=8), num_slots=st.integers(2, 5))
@pytest.mark.parametrize("session", ["tiny_session", "recurrent_session"])
def test_in_fp32_too_a_sequence_gets_what_it_gets_alone(
    request: pytest.FixtureRequest, session: str, shapes: list[tuple[Any, ...]], num_slots: int
) -> None:
    model: ModelSession = request.getfixturevalue(session)
    requests = [request_of(i, *shape, first=FIRST_PIECE + 20 * i) for i, shape in enumerate(shapes)]
    together = translate(model, requests, num_slots).finished
    for each in requests:
        alone = translate(model, [each], 1).finished
        assert alone == {each.sequence_id: together[each.sequence_id]}
        assert_same_attention(alone[each.sequence_id], together[each.sequence_id], each)


def assert_same_attention(
    found: Finished | Failed, expected: Finished | Failed, request: SequenceRequest
) -> None:
    """Bit by bit, and there where it was asked for."""
    assert isinstance(found, Finished)
    assert isinstance(expected, Finished)
    for one, other in zip(found.hypotheses, expected.hypotheses, strict=True):
        if request.attention is None:
            assert one.attention is other.attention is None
            continue
        assert one.attention is not None
        assert one.attention.shape == (len(one.token_ids), len(request.source))
        np.testing.assert_array_equal(one.attention, other.attention)
        np.testing.assert_allclose(one.attention.sum(axis=1), 1, rtol=0, atol=1e-5)


def test_a_cancel_frees_the_slot_for_the_next_in_line(tiny_session: ModelSession) -> None:
    drive = Drive(Engine(tiny_session, 2))
    for sequence_id in range(4):
        drive.submit(request_of(sequence_id, 8, METHODS[sequence_id], 60))
    drive.step()
    assert drive.joined == [0, 1]
    drive.cancel(0)
    drive.step()
    assert drive.joined == [0, 1, 2]


def test_a_sequence_that_never_was_cannot_be_cancelled(tiny_session: ModelSession) -> None:
    assert not Engine(tiny_session, 1).cancel(5)


def translate(session: ModelSession, requests: list[SequenceRequest], num_slots: int) -> Drive:
    drive = Drive(Engine(session, num_slots))
    for request in requests:
        drive.submit(request)
    drive.run_out()
    return drive


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_sequence_without_a_number_fails_alone_and_leaves_a_clean_slot(
    poisoned_session: ModelSession, method: Method
) -> None:
    first = [FIRST_PIECE, POISON, FIRST_PIECE + 50, POISON - 2, FIRST_PIECE + 100, FIRST_PIECE + 150]
    requests = [request_of(i, 7, method, 12, first=piece) for i, piece in enumerate(first)]
    alone: dict[int, tuple[Hypothesis, ...]] = {}
    for i in (0, 2, 4, 5):
        result = translate(poisoned_session, [requests[i]], 1).finished[i]
        assert isinstance(result, Finished)
        alone[i] = result.hypotheses
    found = translate(poisoned_session, requests, 2).finished
    for i in (1, 3):
        result = found[i]
        assert isinstance(result, Failed)
        assert isinstance(result.error, InferenceError)
    for i, hypotheses in alone.items():
        assert found[i] == Finished(sequence_id=i, hypotheses=hypotheses)
