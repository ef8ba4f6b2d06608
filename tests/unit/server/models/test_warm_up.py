"""What a server does before it serves: repeat the artifact's own translations."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from export.contract.manifest import ArtifactError
from server.engine.engine import Engine, StepReport
from server.engine.lane import LaneKey
from server.engine.searches.search import StepOutputs
from server.engine.session import ModelSession
from server.engine.tensors.lane_tensors import LaneTensors
from server.models.warm_up import lone_speedup, self_check, warm_up

POISON = 333  # as `poisoned_session` has it


class DelayedEngine(Engine):
    """Waits before each step, while it is lone or while it is not."""

    def __init__(self, session: ModelSession, *, delays_lone: bool) -> None:
        super().__init__(session, 1)
        self._delays_lone, self._is_exclusive = delays_lone, False

    def set_exclusive(self, is_exclusive: bool) -> None:
        self._is_exclusive = is_exclusive

    def decode_step(self) -> StepReport | None:
        if self._is_exclusive == self._delays_lone:
            time.sleep(0.005)
        return super().decode_step()


@pytest.mark.parametrize("delays_lone", [True, False])
def test_it_is_seen_whether_a_lone_engine_is_faster(tiny_session: ModelSession, *, delays_lone: bool) -> None:
    speedup = lone_speedup(DelayedEngine(tiny_session, delays_lone=delays_lone), tiny_session.manifest)
    assert speedup < 1 if delays_lone else speedup > 1


@pytest.mark.parametrize("num_slots", [1, 4])
@pytest.mark.parametrize("kind", ["tiny_session", "recurrent_session"])
def test_an_artifact_repeats_its_translations(
    request: pytest.FixtureRequest, kind: str, num_slots: int
) -> None:
    session: ModelSession = request.getfixturevalue(kind)
    engine = Engine(session, num_slots)
    self_check(engine, session.manifest)
    assert engine.num_running == 0


@pytest.mark.parametrize("field", ["greedy", "beam"])
def test_another_translation_is_refused(tiny_session: ModelSession, field: str) -> None:
    expected = dataclasses.replace(tiny_session.manifest.self_check, **{field: (5, 5, 3)})  # type: ignore[arg-type]
    manifest = dataclasses.replace(tiny_session.manifest, self_check=expected)
    with pytest.raises(ArtifactError, match=r"tiny fails its self-check: .* the artifact has \[5, 5, 3\]"):
        self_check(Engine(tiny_session, 2), manifest)


@pytest.mark.parametrize("piece", [POISON, 10**6], ids=["no number", "no such piece"])
def test_a_translation_that_fails_is_refused(poisoned_session: ModelSession, piece: int) -> None:
    """In the encoder too, where nothing is left to step."""
    expected = dataclasses.replace(poisoned_session.manifest.self_check, source=(300, piece, 3))
    manifest = dataclasses.replace(poisoned_session.manifest, self_check=expected)
    with pytest.raises(ArtifactError, match="tiny fails its self-check: "):
        self_check(Engine(poisoned_session, 2), manifest)


@pytest.mark.parametrize(
    ("kind", "capacities"), [("tiny_session", [64]), ("recurrent_session", [16, 32, 64])]
)
def test_every_capacity_and_the_usual_beams_are_warm(
    request: pytest.FixtureRequest, kind: str, capacities: list[int]
) -> None:
    """The models take up to 64 source tokens."""
    session: ModelSession = request.getfixturevalue(kind)
    engine = Engine(session, 4)
    warm_up(engine, session.manifest, 16, by_rows=False)
    assert set(engine._lanes) == {
        LaneKey(width=width, capacity=capacity) for width in (1, 4) for capacity in capacities
    }
    engine = Engine(session, 4)
    warm_up(engine, session.manifest, 2, by_rows=False)
    assert {key.width for key in engine._lanes} == {1, 2}


def test_on_a_gpu_every_number_of_rows_that_a_step_may_have_is_warm(
    tiny_session: ModelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    run = LaneTensors.step

    def step(self: LaneTensors, count: int, *args: Any, **options: Any) -> StepOutputs:
        rows.append(count)
        return run(self, count, *args, **options)

    monkeypatch.setattr(LaneTensors, "step", step)
    warm_up(Engine(tiny_session, 9), tiny_session.manifest, 1, by_rows=True)
    assert {*rows} == {2, 4, 8, 9}


def test_a_warm_up_that_fails_is_refused(poisoned_session: ModelSession) -> None:
    expected = dataclasses.replace(poisoned_session.manifest.self_check, source=(300, POISON, 3))
    manifest = dataclasses.replace(poisoned_session.manifest, self_check=expected)
    with pytest.raises(ArtifactError, match="tiny fails"):
        warm_up(Engine(poisoned_session, 2), manifest, 4, by_rows=False)
