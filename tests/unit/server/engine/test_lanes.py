"""Which lanes are open, and for whom a row is kept."""

from __future__ import annotations

from server.engine.graph_runner import GraphRunner
from server.engine.lane import lane_shape
from server.engine.lanes import Lanes
from server.engine.sequence import Beam, SequenceRequest
from server.engine.session import ModelSession


def request_of(sequence_id: int, beam_size: int) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=(300, 301, 3),
        method=Beam(beam_size=beam_size),
        length_penalty=1.0,
        max_target_tokens=4,
    )


def encode(lanes: Lanes, *requests: SequenceRequest) -> None:
    lanes[lanes.key_for(requests[0])].encode(requests, 3)


def test_a_row_is_kept_until_its_lane_encodes(tiny_session: ModelSession) -> None:
    lanes = Lanes(GraphRunner(tiny_session), 2, None)
    first, second, third = (request_of(i, 1) for i in range(3))
    assert [lanes.reserve(request) for request in (first, second, third)] == [True, True, False]
    (lane,) = lanes.values()
    assert (lane.num_free, lane.is_unused, lanes.running()) == (0, False, [])
    encode(lanes, first, second)
    assert (lane.num_free, lanes.num_running, lanes.running()) == (0, 2, [lane])
    assert lanes.remove(1)
    assert not lanes.remove(1)
    assert lanes.reserve(third)


def test_only_a_lane_that_nobody_is_in_and_no_row_is_kept_in_makes_room(tiny_session: ModelSession) -> None:
    narrow, wide = request_of(0, 1), request_of(1, 6)
    graphs = GraphRunner(tiny_session)
    key = Lanes(graphs, 2, None).key_for(wide)
    max_bytes = lane_shape(tiny_session.manifest, key, 2).num_bytes(tiny_session.manifest)
    lanes = Lanes(graphs, 2, max_bytes)
    assert lanes.reserve(narrow)
    assert not lanes.reserve(wide), "a row is kept"
    encode(lanes, narrow)
    assert not lanes.reserve(wide), "a sequence runs"
    lanes.remove(0)
    assert lanes.reserve(wide)
    assert [key.width for key in lanes] == [6]
    assert lanes.num_bytes <= max_bytes


def test_no_lane_closes_for_one_that_would_not_fit_all_the_same(tiny_session: ModelSession) -> None:
    narrow, wide = request_of(0, 1), request_of(1, 6)
    graphs = GraphRunner(tiny_session)
    key = Lanes(graphs, 2, None).key_for(narrow)
    lanes = Lanes(graphs, 2, lane_shape(tiny_session.manifest, key, 2).num_bytes(tiny_session.manifest))
    assert lanes.reserve(narrow)
    encode(lanes, narrow)
    lanes.remove(0)
    assert not lanes.reserve(wide)
    assert list(lanes) == [key]
