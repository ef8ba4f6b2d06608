"""Which lane a source's length leads to, and with whom it is encoded."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.contract.manifest import Manifest
from server.engine.sequence import Beam, SequenceRequest
from server.engine.source_lengths import RUN_COST_TOKENS, capacity_for, encoder_batches

LONGEST = 200
lengths = st.lists(st.integers(1, LONGEST), max_size=40)


def manifest_of(*, has_capacities: bool, longest: int = LONGEST) -> Manifest:
    fields = SimpleNamespace(has_capacities=has_capacities, max_source_tokens=longest)
    return cast("Manifest", fields)


def requests_of(lengths: list[int]) -> list[SequenceRequest]:
    return [
        SequenceRequest(
            sequence_id=sequence_id,
            source=(4,) * length,
            method=Beam(beam_size=1),
            length_penalty=1.0,
            max_target_tokens=4,
        )
        for sequence_id, length in enumerate(lengths)
    ]


def batches_of(lengths: list[int], *, has_capacities: bool) -> list[tuple[int, list[int]]]:
    """Sizes, and the lengths of the sources that share a run; everybody is in one run."""
    requests = requests_of(lengths)
    found = list(encoder_batches(manifest_of(has_capacities=has_capacities), requests))
    taken = [request.sequence_id for _, batch in found for request in batch]
    assert sorted(taken) == list(range(len(lengths)))
    assert all(batch for _, batch in found), "no run is empty"
    return [(size, [len(request.source) for request in batch]) for size, batch in found]


def padding_of(size: int, batch: list[int]) -> int:
    return sum(size - length for length in batch)


@pytest.mark.parametrize(
    ("num_tokens", "capacity"),
    [(1, 16), (15, 16), (16, 16), (17, 32), (32, 32), (33, 64), (64, 64), (65, 128), (200, 256)],
)
def test_a_capacity_is_the_next_power_of_two_of_16_or_more(num_tokens: int, capacity: int) -> None:
    assert capacity_for(manifest_of(has_capacities=True), num_tokens) == capacity


@pytest.mark.parametrize(("longest", "capacity"), [(1, 16), (16, 16), (50, 64), (256, 256), (257, 512)])
def test_without_capacities_all_sources_have_room_for_the_longest(longest: int, capacity: int) -> None:
    manifest = manifest_of(has_capacities=False, longest=longest)
    assert {capacity_for(manifest, length) for length in range(1, longest + 1)} == {capacity}


@given(lengths)
def test_with_capacities_a_run_is_of_one_length_rounded_up_to_8(lengths: list[int]) -> None:
    batches = batches_of(lengths, has_capacities=True)
    for size, batch in batches:
        assert {-(-length // 8) * 8 for length in batch} == {size}
    sizes = [size for size, _ in batches]
    assert len(set(sizes)) == len(sizes), "and all of that length share it"


@given(lengths)
def test_without_capacities_a_run_is_no_longer_than_its_longest_and_hardly_padded(lengths: list[int]) -> None:
    batches = batches_of(lengths, has_capacities=False)
    for size, batch in batches:
        assert size == max(batch)
        assert padding_of(size, batch) <= RUN_COST_TOKENS
    for (_, batch), (_, longer) in pairwise(batches):
        assert max(batch) < min(longer), "like lengths go together"
        more = [*batch, min(longer)]
        assert padding_of(max(more), more) > RUN_COST_TOKENS, "no run is spent without need"


def test_padding_is_counted_over_the_whole_run() -> None:
    """Each step up pads everybody who is in it already."""
    assert batches_of([10, 18], has_capacities=False) == [(18, [10, 18])]
    assert batches_of([10, 19], has_capacities=False) == [(10, [10]), (19, [19])]
    assert batches_of([14, 10, 12, 12], has_capacities=False) == [(14, [10, 12, 12, 14])]
    assert batches_of([15, 10, 12, 12], has_capacities=False) == [(12, [10, 12, 12]), (15, [15])]
    assert batches_of([9] * 20, has_capacities=False) == [(9, [9] * 20)]


def test_of_nobody_there_is_no_run() -> None:
    for has_capacities in (True, False):
        assert batches_of([], has_capacities=has_capacities) == []


def test_a_runs_sources_of_one_length_keep_their_order() -> None:
    requests = requests_of([5, 3, 5, 3])
    ((_, batch),) = encoder_batches(manifest_of(has_capacities=False), requests)
    assert [request.sequence_id for request in batch] == [1, 3, 0, 2]
