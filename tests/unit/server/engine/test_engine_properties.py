"""Whatever is submitted, cancelled and stepped, in whatever order, the engine keeps its promises."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.engine import Engine, StepReport
from server.engine.lane import LaneKey, lane_shape
from server.engine.scheduler import Scheduler
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
LONGEST = 40
SESSIONS = ["tiny_session", "recurrent_session"]  # one lane of each width, or one of each capacity too

METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=2),
    Beam(beam_size=3),
    Beam(beam_size=6),  # a lane of fewer rows than there are slots
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


def key_of(session: ModelSession, request: SequenceRequest) -> LaneKey:
    """The lane that a request needs on CPU, of a model that takes 64 source tokens."""
    sizes = (16, 32, 64) if session.manifest.has_capacities else (64,)
    capacity = next(size for size in sizes if size >= len(request.source))
    return LaneKey(width=request.method.width, capacity=capacity)


def lane_bytes(session: ModelSession, request: SequenceRequest, num_slots: int) -> int:
    """What that lane takes."""
    return lane_shape(session.manifest, key_of(session, request), num_slots).num_bytes(session.manifest)


@dataclass
class Drive:
    """An engine, and what was seen of it; every call checks the invariants."""

    engine: Engine
    limit: float = math.inf  # of its pools, in bytes
    waiting: Scheduler = field(default_factory=Scheduler)
    submitted: list[int] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    finished: dict[int, Finished | Failed] = field(default_factory=dict)
    keys: dict[int, LaneKey] = field(default_factory=dict)

    def submit(self, request: SequenceRequest) -> None:
        self.keys[request.sequence_id] = key_of(self.engine._graphs.session, request)
        self.waiting.add(request)
        self.submitted.append(request.sequence_id)
        self.engine.check()

    def cancel(self, sequence_id: int) -> None:
        is_live = sequence_id not in {*self.finished, *self.cancelled}
        is_running = is_live and sequence_id in self.joined
        before = self.engine.num_running, len(self.waiting)
        assert (self.waiting.remove(sequence_id) or self.engine.cancel(sequence_id)) == is_live
        expected = (before[0] - is_running, before[1] - (is_live and not is_running))
        assert (self.engine.num_running, len(self.waiting)) == expected
        self.cancelled += [sequence_id] * is_live
        self.engine.check()

    def step(self) -> None:
        in_use = {key: lane for key, lane in self.engine._lanes.items() if lane.num_running}
        self._see(self.admit())
        assert in_use.items() <= self.engine._lanes.items(), "a lane was dropped that somebody was in"
        assert sum(lane.num_bytes for lane in self.engine._lanes.values()) <= self.limit
        assert self.engine.num_running == self.engine.num_slots or self._is_without_room()
        num_running = self.engine.num_running
        report = self.engine.decode_step()
        assert (report.num_sequences if report else 0) == num_running
        self._see(report)

    def admit(self) -> StepReport | None:
        return self.engine.admit(self.waiting.take(self.engine.num_free, self.engine.reserve))

    def _is_without_room(self) -> bool:
        """Whether the first in line, if there is one, must wait for others to leave."""
        first = next(iter(self.waiting._waiting.values()), None)
        if first is None:
            return True
        if lane := self.engine._lanes.get(key_of(self.engine._graphs.session, first)):
            return lane.num_free == 0
        in_use = sum(lane.num_bytes for lane in self.engine._lanes.values() if lane.num_running)
        needed = lane_bytes(self.engine._graphs.session, first, self.engine.num_slots)
        return in_use > 0 and in_use + needed > self.limit

    def _see(self, report: StepReport | None) -> None:
        for result in report.results if report else ():
            assert result.sequence_id not in {*self.finished, *self.cancelled}, "it ended twice"
            self.finished[result.sequence_id] = result
        self.joined += sorted(report.joined) if report else ()
        assert report is None or 0 <= report.padding_ratio < 1
        self.engine.check()

    def run_out(self) -> None:
        for _ in range(1000):
            if not (self.waiting or self.engine.num_running):
                break
            self.step()
        assert self.admit() is None
        assert self.engine.decode_step() is None


def most_bytes(session: ModelSession, num_slots: int) -> int:
    """Of the largest lane that requests of `shapes` need."""
    requests = [request_of(0, LONGEST, method, 1) for method in METHODS]
    return max(lane_bytes(session, request, num_slots) for request in requests)


shapes = st.tuples(
    st.integers(1, LONGEST),
    st.sampled_from(METHODS),
    st.sampled_from([1, 2, 5, 40]),
    st.sampled_from(CHOICES),
)
submits = shapes.map(lambda shape: ("submit", *shape))
cancels = st.tuples(st.just("cancel"), st.integers(0, 30))
steps = st.tuples(st.just("step"))


@settings(max_examples=100, deadline=None)
@given(
    num_slots=st.integers(1, 12),
    room=st.sampled_from([None, 1.0, 1.7, 3.0]),
    actions=st.lists(st.one_of(submits, submits, steps, steps, cancels), max_size=30),
)
@pytest.mark.parametrize("session", SESSIONS)
def test_every_sequence_ends_exactly_once_in_its_own_slot(
    request: pytest.FixtureRequest,
    session: str,
    num_slots: int,
    room: float | None,
    actions: list[tuple[Any, ...]],
) -> None:
    """Whatever room there is beyond that for one lane."""
    model: ModelSession = request.getfixturevalue(session)
    limit = None if room is None else int(room * most_bytes(model, num_slots))
    drive = Drive(Engine(model, num_slots, limit), limit or math.inf)
    for action, *arguments in actions:
        if action == "submit":
            drive.submit(request_of(len(drive.submitted), *arguments))
        elif action == "cancel" and drive.submitted:
            drive.cancel(arguments[0] % len(drive.submitted))
        elif action == "step":
            drive.step()
    drive.run_out()
    assert sorted([*drive.finished, *drive.cancelled]) == drive.submitted
    for lane in set(drive.keys.values()):
        joined = [sequence_id for sequence_id in drive.joined if drive.keys[sequence_id] == lane]
        assert joined == sorted(joined), "of one lane: first come, first admitted"
    assert all(isinstance(result, Finished) for result in drive.finished.values())


@settings(max_examples=20, deadline=None)
@given(shapes=st.lists(shapes, min_size=2, max_size=8), num_slots=st.integers(2, 5))
@pytest.mark.parametrize("session", SESSIONS)
def test_in_fp32_too_a_sequence_gets_what_it_gets_alone(
    request: pytest.FixtureRequest, session: str, shapes: list[tuple[Any, ...]], num_slots: int
) -> None:
    model: ModelSession = request.getfixturevalue(session)
    requests = [request_of(i, *shape, first=FIRST_PIECE + 20 * i) for i, shape in enumerate(shapes)]
    together = translate(model, requests, num_slots).finished
    assert translate(model, requests, num_slots, most_bytes(model, num_slots)).finished == together
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


@pytest.mark.parametrize(
    ("session", "other"), [("tiny_session", METHODS[2]), ("recurrent_session", METHODS[1])]
)
def test_an_idle_lane_makes_room_for_another_and_one_in_use_does_not(
    request: pytest.FixtureRequest, session: str, other: Method
) -> None:
    """Of another width, or of sources of another length."""
    model: ModelSession = request.getfixturevalue(session)
    short, long = request_of(0, 5, METHODS[1], 3), request_of(1, 40, other, 3)
    limit = lane_bytes(model, long, 2)
    drive = Drive(Engine(model, 2, limit), limit)
    for each in (short, long, dataclasses.replace(short, sequence_id=2)):
        drive.submit(each)
    drive.step()
    assert drive.joined == [0, 2], "one that fits where the first one is passes"
    drive.run_out()
    assert drive.joined == [0, 2, 1]
    assert list(drive.engine._lanes) == [key_of(model, long)]


@pytest.mark.parametrize(
    ("session", "capacities"), [("tiny_session", [64]), ("recurrent_session", [16, 64, 32])]
)
def test_a_lane_stays_as_long_as_there_is_room(
    request: pytest.FixtureRequest, session: str, capacities: list[int]
) -> None:
    drive = Drive(Engine(request.getfixturevalue(session), 2))
    for sequence_id, num_tokens in enumerate((5, 40, 20, 5)):
        drive.submit(request_of(sequence_id, num_tokens, METHODS[0], 2))
        drive.run_out()
    assert [key.capacity for key in drive.engine._lanes] == capacities


def test_of_wide_beams_fewer_run_at_once_and_the_slots_left_are_for_others(
    tiny_session: ModelSession,
) -> None:
    wide, narrow = Beam(beam_size=16), METHODS[0]
    drive = Drive(Engine(tiny_session, 8))
    for sequence_id, method in enumerate([wide, wide, narrow, wide, narrow]):
        drive.submit(request_of(sequence_id, 5, method, 60))
    drive.step()
    assert drive.joined == [0, 1, 2, 4], "a lane that is full keeps nobody from another"
    drive.cancel(0)
    drive.step()
    assert drive.joined == [0, 1, 2, 4, 3]


@pytest.mark.parametrize("session", SESSIONS)
def test_a_beam_may_be_wider_than_any_source_is_long(request: pytest.FixtureRequest, session: str) -> None:
    """Of an artifact that takes short sources only, so that its lanes have room for few positions."""
    model: ModelSession = request.getfixturevalue(session)
    model = dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, max_source_tokens=4))
    each = request_of(0, 3, Beam(beam_size=20), 5)
    (result,) = translate(model, [each], 2).finished.values()
    assert isinstance(result, Finished)
    wider = translate(request.getfixturevalue(session), [each], 2).finished[0]
    assert result == wider


@pytest.mark.parametrize(
    ("session", "ratio"), [("tiny_session", 1 - 46 / 48), ("recurrent_session", 1 - 46 / 56)]
)
def test_an_admission_tells_how_much_of_what_was_encoded_is_padding(
    request: pytest.FixtureRequest, session: str, ratio: float
) -> None:
    """Of sources of 5, 6 and 5 tokens, and of 30; or of all rounded up to a multiple of 8."""
    drive = Drive(Engine(request.getfixturevalue(session), 4))
    for sequence_id, num_tokens in enumerate([5, 30, 6, 5]):
        drive.submit(request_of(sequence_id, num_tokens, METHODS[0], 2))
    report = drive.admit()
    assert report is not None
    assert sorted(report.joined) == [0, 1, 2, 3]
    assert report.padding_ratio == pytest.approx(ratio)


def test_a_sequence_that_never_was_cannot_be_cancelled(tiny_session: ModelSession) -> None:
    assert not Engine(tiny_session, 1).cancel(5)


def translate(
    session: ModelSession, requests: list[SequenceRequest], num_slots: int, limit: int | None = None
) -> Drive:
    drive = Drive(Engine(session, num_slots, limit), limit or math.inf)
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
