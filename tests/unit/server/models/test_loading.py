"""How much memory and how many engines a model gets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from server.config import ServerConfig
from server.engine.engine import Engine
from server.engine.lane import largest_lane_bytes
from server.engine.session import ModelSession
from server.models import memory as models_module
from server.models.loading import _engines
from server.models.memory import GIB, PoolsTooLarge
from server.models.warm_up import self_check


def config_of(num_artifacts: int = 1, **fields: Any) -> ServerConfig:
    options = {"runners": 2, "slots": 3, "max_beam_size": 6, **fields}
    return ServerConfig(artifacts=(Path("model"),) * num_artifacts, **options)


def limits_of(engines: list[Engine]) -> list[int | None]:
    return [engine._lanes.max_bytes for engine in engines]


def test_every_runner_of_every_model_gets_an_equal_part_of_the_pools(tiny_session: ModelSession) -> None:
    engines = _engines(tiny_session, config_of(num_artifacts=5, runners=4, pool_gib=2))
    assert limits_of(engines) == [GIB // 10] * 4
    assert [engine.num_slots for engine in engines] == [3] * 4


def test_where_nothing_is_told_the_machine_says_how_many_runners_and_how_much_memory(
    tiny_session: ModelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "num_processors", lambda: 5)
    monkeypatch.setattr(models_module, "available_bytes", lambda: 4 * GIB)
    assert limits_of(_engines(tiny_session, config_of(runners=None))) == [3 * GIB // 5] * 5
    assert limits_of(_engines(tiny_session, config_of(runners=1, pool_gib=1.5))) == [3 * GIB // 2]


def test_on_a_gpu_its_own_memory_counts_and_what_steps_give_there(
    tiny_session: ModelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "free_gpu_bytes", lambda: 8 * GIB)
    on_gpu = dataclasses.replace(tiny_session, device="cuda")
    assert limits_of(_engines(on_gpu, config_of(num_artifacts=2))) == [3 * GIB]
    pools, everything = (
        largest_lane_bytes(tiny_session.manifest, 3, 6, with_outputs=with_outputs)
        for with_outputs in (False, True)
    )
    scores = 3 * 6 * 600 * 4  # of 3 slots, beams of 6, and 600 tokens; logits and log-probabilities
    assert everything - pools > 2 * scores
    with pytest.raises(PoolsTooLarge):
        _engines(on_gpu, config_of(pool_gib=(everything - 1) / GIB))
    assert limits_of(_engines(on_gpu, config_of(pool_gib=everything / GIB))) == [everything]


def test_on_a_gpu_there_is_one_runner(tiny_session: ModelSession) -> None:
    on_gpu = dataclasses.replace(tiny_session, device="cuda")
    assert limits_of(_engines(on_gpu, config_of(runners=4, pool_gib=1))) == [GIB]


def test_the_widest_lane_must_fit_and_then_whatever_comes_is_served(tiny_session: ModelSession) -> None:
    needed = largest_lane_bytes(tiny_session.manifest, 3, 6)
    for engine in _engines(tiny_session, config_of(pool_gib=2 * needed / GIB)):
        assert engine._lanes.max_bytes == needed
        self_check(engine, tiny_session.manifest)
    with pytest.raises(PoolsTooLarge):
        _engines(tiny_session, config_of(pool_gib=(2 * needed - 2) / GIB))


def test_pools_that_are_too_small_are_refused_with_the_figures(tiny_session: ModelSession) -> None:
    needed = largest_lane_bytes(tiny_session.manifest, 3, 6)
    with pytest.raises(PoolsTooLarge) as caught:
        _engines(tiny_session, config_of(num_artifacts=2, pool_gib=0.001))
    assert str(caught.value) == (
        f"model tiny needs {needed / GIB:.3g} GiB for each of its 2 runners (3 slots, beams of 6, 64 source "
        "and 64 target tokens), and has 0.00025 of the 0.001 GiB for pools: lower --slots, --max-beam-size "
        "or --runners, or raise --pool-gib"
    )
    assert needed / GIB > 0.00025


def test_the_self_check_has_room_where_no_call_may_ask_for_a_beam(tiny_session: ModelSession) -> None:
    """Its beam is wider than what calls may ask for."""
    checked = tiny_session.manifest.self_check.beam_size
    needed = largest_lane_bytes(tiny_session.manifest, 3, checked)
    assert needed > largest_lane_bytes(tiny_session.manifest, 3, 1)
    (engine,) = _engines(tiny_session, config_of(runners=1, max_beam_size=1, pool_gib=needed / GIB))
    self_check(engine, tiny_session.manifest)
    with pytest.raises(PoolsTooLarge, match=f"beams of {checked},"):
        _engines(tiny_session, config_of(runners=1, max_beam_size=1, pool_gib=(needed - 1) / GIB))
