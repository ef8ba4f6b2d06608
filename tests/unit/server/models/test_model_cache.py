"""Who waits for a model, who is told what, and what is dropped; a model is loaded as the test says."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from export.contract.manifest import ArtifactError
from server.engine.session import ModelSession
from server.errors import DeadlineExceeded, Draining, ModelUnloadable, NoModelMemory
from server.models.loaded_model import LoadedModel
from server.models.memory import GIB, MemoryLimits, MemoryNeed, ModelMemory, ModelMemoryFull
from server.models.model_cache import ModelCache
from server.models.served_model import ServedModel
from server.telemetry.metrics import Metrics
from tests.unit.server.models.described import served_model


class Loads:
    """Loads models, each when it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.has_begun = threading.Event()
        self.error: Exception | None = None
        self.damaged = ""

    def check(self, model: ServedModel) -> None:
        if model.name == self.damaged:
            raise ArtifactError("weights.bin is missing")

    def load(self, model: ServedModel) -> LoadedModel:
        self.begun.append(model.name)
        self.has_begun.set()
        assert self.may_end.wait(60)
        if self.error is not None:
            raise self.error
        worker = SimpleNamespace(
            publish=lambda _: None,
            drain=lambda: self.stopped.append(f"drained {model.name}"),
            stop=lambda: None,
        )
        loaded = SimpleNamespace(
            session=SimpleNamespace(exclusive_graphs=None),
            worker=worker,
            provider="CPU",
            load_seconds=1.0,
            warm_up_seconds=0.5,
            stop=lambda: self.stopped.append(model.name),
        )
        return cast("LoadedModel", loaded)


@pytest.fixture
def models(tiny_session: ModelSession) -> list[ServedModel]:
    """Three, of a GiB each."""
    manifests = [dataclasses.replace(tiny_session.manifest, name=name) for name in "abc"]
    return [served_model(manifest, weights_bytes=GIB) for manifest in manifests]


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def cache(loads: Loads) -> ModelCache:
    """With room for two."""
    return ModelCache(loads.check, loads.load, ModelMemory(MemoryLimits(weights=2 * GIB)), Metrics(), "cpu")


async def use(cache: ModelCache, model: ServedModel, deadline: float | None = None) -> None:
    async with cache.use(model, deadline):
        pass


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_calls_that_come_together_wait_for_one_load(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    async def work() -> None:
        await asyncio.gather(*(use(cache, models[0]) for _ in range(5)))

    run(work())
    assert loads.begun == ["a"]
    assert models[0].is_idle


def test_a_call_whose_deadline_passes_gives_up_and_the_load_goes_on(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    async def work() -> None:
        loads.may_end.clear()
        with pytest.raises(DeadlineExceeded) as caught:
            await use(cache, models[0], time.monotonic() + 0.01)
        assert not caught.value.was_queued
        cancelled = asyncio.create_task(use(cache, models[0]))
        await asyncio.sleep(0)
        cancelled.cancel()
        loads.may_end.set()
        await use(cache, models[0])

    run(work())
    assert loads.begun == ["a"]


@pytest.mark.parametrize("fault", [ArtifactError, ZeroDivisionError])
def test_each_call_that_waited_for_a_load_that_fails_gets_an_error_of_its_own(
    cache: ModelCache, loads: Loads, models: list[ServedModel], fault: type[Exception]
) -> None:
    async def work() -> None:
        loads.error = fault("weights.bin is missing")
        found = await asyncio.gather(*(use(cache, models[0]) for _ in range(2)), return_exceptions=True)
        assert [str(error) for error in found] == ["model 'a' cannot be loaded: weights.bin is missing"] * 2
        assert found[0] is not found[1]
        with pytest.raises(ModelUnloadable):
            await use(cache, models[0])
        assert loads.begun == ["a"]  # not at once again
        models[0].failure = None
        loads.error = None
        await use(cache, models[0])
        await use(cache, models[1])

    run(work())


def test_the_one_that_was_unused_longest_makes_room_and_never_one_in_use(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    a, b, c = models

    async def work() -> None:
        await use(cache, a)
        await use(cache, b)
        await use(cache, a)
        await use(cache, c)
        assert loads.stopped == ["b"]
        async with cache.use(a, None), cache.use(c, None):
            with pytest.raises(NoModelMemory) as caught:
                await use(cache, b)
        assert str(caught.value) == (
            "model b needs 1 GiB for its weights, and 0 of the 2 GiB of --model-memory-gib are free: "
            "the other models are in use"
        )
        async with cache.use(a, None):
            await use(cache, b)
        assert loads.stopped == ["b", "c"]

    run(work())


def test_no_model_leaves_for_one_whose_folder_is_damaged(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    async def work() -> None:
        await use(cache, models[0])
        await use(cache, models[1])
        loads.damaged = "c"
        with pytest.raises(ModelUnloadable):
            await use(cache, models[2])

    run(work())
    assert loads.stopped == []


def test_a_model_that_leaves_for_idleness_comes_back_and_one_in_use_stays(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    async def work() -> None:
        async with cache.use(models[0], None):
            await use(cache, models[1])
            await cache.drop_idle(0.0)
            assert [model.name for model in cache.loaded] == ["a"]
        await cache.drop_idle(3600.0)
        assert [model.name for model in cache.loaded] == ["a"]
        await use(cache, models[1])

    run(work())
    assert loads.begun == ["a", "b", "b"]


def test_a_server_that_stops_loads_nothing_more(
    cache: ModelCache, loads: Loads, models: list[ServedModel]
) -> None:
    async def work() -> None:
        loads.may_end.clear()
        waiting = asyncio.create_task(use(cache, models[0]))
        await asyncio.to_thread(loads.has_begun.wait)
        late = asyncio.create_task(use(cache, models[1]))
        await asyncio.sleep(0)
        cache.drain()
        loads.may_end.set()
        await waiting
        with pytest.raises(Draining):
            await late
        await cache.stop()

    run(work())
    assert loads.stopped == ["drained a"]


def test_memory_says_what_is_short_of_weights_and_of_pools() -> None:
    need = MemoryNeed(weights_bytes=GIB, num_copies=2, num_runners=2, pool_bytes=GIB)
    memory = ModelMemory(MemoryLimits(weights=4 * GIB, pools=3 * GIB))
    memory.take("a", need)
    assert memory.shortage(need, without=["a"]) is None
    with pytest.raises(ModelMemoryFull) as caught:
        memory.require("b", need)
    assert str(caught.value) == "model b needs 2 GiB for its pools, and 1 of the 3 GiB of --pool-gib are free"
    memory.give_back("a")
    memory.require("b", need)
    assert memory.fit_together([need])
    assert not memory.fit_together([need, need])
