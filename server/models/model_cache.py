"""Those of the served models that are in memory: loaded when a call needs them, dropped when nobody does.

One is loaded or dropped at a time. Of those that no call needs the one leaves first that has been unused the
longest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from server.errors import (
    DeadlineExceeded,
    Draining,
    ModelChanged,
    ModelUnloadable,
    NoModelMemory,
    RequestError,
)
from server.models.loaded_model import LoadedModel
from server.models.loading import UNSERVABLE, ArtifactChanged
from server.models.machine import release_memory
from server.models.memory import ModelMemory, ModelMemoryFull
from server.models.served_model import LoadFailure, ServedModel
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics

log = logging.getLogger("traghetto.models")

RETRY_LOAD_SECONDS = 10.0  # after a failure: to find one takes as long as to read the artifact
_Refusal = Callable[[], RequestError]  # makes a new error for each call that waited


class ModelCache:
    """Models in memory; of the event loop's thread.

    Args:
        check: Refuses a model whose folder is not what it was; called in a thread, and before any other
            model leaves for it.
        load: Reads a model from its folder and starts it; called in a thread.
        memory: Who has how much.
        device: That was asked for.

    Attributes:
        lock: Held by whoever loads, drops or replaces a model.
        is_stopping: Whether nothing more is loaded.
    """

    def __init__(
        self,
        check: Callable[[ServedModel], None],
        load: Callable[[ServedModel], LoadedModel],
        memory: ModelMemory,
        metrics: Metrics,
        device: str,
    ) -> None:
        self._check, self._load, self._memory = check, load, memory
        self._metrics, self._device = metrics, device
        self._series: dict[ServedModel, ModelMetrics] = {}  # of each model that is in memory
        self._loads: dict[ServedModel, asyncio.Task[_Refusal | None]] = {}
        self.is_stopping = False
        self.lock = asyncio.Lock()

    @property
    def loaded(self) -> list[ServedModel]:
        """Those in memory."""
        return list(self._series)

    @asynccontextmanager
    async def use(self, model: ServedModel, deadline: float | None) -> AsyncIterator[None]:
        """Have a model in memory, and keep it there.

        Args:
            deadline: Until when to wait for it, on the monotonic clock, in seconds; None for ever.

        Raises:
            NoModelMemory: other models that are in use leave it no room.
            ModelUnloadable, ModelChanged: it cannot be loaded.
            DeadlineExceeded: the deadline passed before it was there.
            Draining: the server is stopping.
        """
        with model.in_use():
            if model.loaded is None:
                await self._wait_for(model, deadline)
            yield

    async def _wait_for(self, model: ServedModel, deadline: float | None) -> None:
        """Load a model, or wait with others for it; a call that gives up does not stop it."""
        failure = model.failure
        if failure is not None and time.monotonic() - failure.at < RETRY_LOAD_SECONDS:
            raise ModelUnloadable(model.name, failure.reason)
        if (loading := self._loads.get(model)) is None:
            loading = self._loads[model] = asyncio.create_task(self._load_on_demand(model))
            loading.add_done_callback(lambda _: self._loads.pop(model))
        try:
            async with asyncio.timeout_at(deadline):  # the loop's clock is the monotonic one
                refusal = await asyncio.shield(loading)
        except TimeoutError:
            raise DeadlineExceeded(was_queued=False) from None
        if refusal is not None:
            raise refusal()

    async def _load_on_demand(self, model: ServedModel) -> _Refusal | None:
        """Bring a model into memory; gives what those who wait are to be told if that fails."""
        async with self.lock:
            if self.is_stopping:
                return Draining
            if model.is_replaced:
                return partial(ModelChanged, model.name)
            try:
                await asyncio.to_thread(self._check, model)
                await self.make_room(model)
                loaded = await asyncio.to_thread(self._load, model)
            except ModelMemoryFull as error:
                self._metrics.model_loads["no_memory"].inc()
                return partial(NoModelMemory, str(error))
            except UNSERVABLE as error:
                return self._failed(model, error)
            except Exception as error:
                log.exception("model %s: unexpected fault while it was loaded", model.name)
                return self._failed(model, error)
            self._metrics.model_loads["loaded"].inc()
            self.enter(model, loaded)
            return None

    def _failed(self, model: ServedModel, error: Exception) -> _Refusal:
        self._metrics.model_loads["failed"].inc()
        log.error("model %s cannot be loaded: %s", model.name, error)
        if isinstance(error, ArtifactChanged):
            return partial(ModelChanged, model.name)
        model.failure = LoadFailure(reason=str(error), at=time.monotonic())
        return partial(ModelUnloadable, model.name, str(error))

    def enter(self, model: ServedModel, loaded: LoadedModel) -> None:
        """Let calls go to a model that was loaded, and put it into the metrics."""
        has_copy = loaded.session.exclusive_graphs is not None
        self._memory.take(model, replace(model.need, num_copies=2 if has_copy else 1))
        self._series[model] = series = self._metrics.of_model(model.name)
        series.set_identity(
            sha256=model.sha256,
            precision=model.manifest.precision,
            load_seconds=loaded.load_seconds,
            warm_up_seconds=loaded.warm_up_seconds,
        )
        series.set_provider(loaded.provider, self._device)
        loaded.worker.publish(series)
        model.loaded, model.failure, model.last_used = loaded, None, time.monotonic()
        if self.is_stopping:
            loaded.worker.drain()

    def leave(self, model: ServedModel) -> None:
        """Take a model out of the metrics and the reckoning, whoever ends it."""
        if (series := self._series.pop(model, None)) is not None:
            series.remove()
        self._memory.give_back(model)

    async def make_room(self, model: ServedModel, instead_of: ServedModel | None = None) -> None:
        """Drop models that no call needs, until another one fits; the lock is held.

        Args:
            instead_of: A model that it replaces, which stays until then and does not count.

        Raises:
            ModelMemoryFull: it would not fit if all of these were dropped: then none is.
        """
        replaced = [] if instead_of is None else [instead_of]
        self._memory.require(model.name, model.need, without=[*replaced, *self._idle(replaced)])
        while self._memory.shortage(model.need, replaced):
            if not (idle := self._idle(replaced)):  # a call has come for one meanwhile
                self._memory.require(model.name, model.need, without=replaced)
            await self._drop(min(idle, key=lambda other: other.last_used), "room")

    def _idle(self, besides: Collection[ServedModel]) -> list[ServedModel]:
        return [model for model in self._series if model.is_idle and model not in besides]

    def refuse_if_stopping(self) -> None:
        """Load nothing while the server stops.

        Raises:
            Draining: it does.
        """
        if self.is_stopping:
            raise Draining

    async def drop_idle(self, idle_seconds: float) -> None:
        """Drop the models that no call has needed for so long."""
        for model in self.loaded:
            async with self.lock:
                is_over = time.monotonic() - model.last_used >= idle_seconds
                if model.is_idle and is_over and model.loaded is not None:
                    await self._drop(model, "idle")

    async def _drop(self, model: ServedModel, reason: str) -> None:
        """End a model that no call needs, and give its memory back to the machine."""
        assert model.is_idle, f"a call needs model {model.name}"
        assert model.loaded is not None, f"model {model.name} is in memory"
        stop, model.loaded = model.loaded.stop, None  # a call that comes now loads it again, after this
        self._series.pop(model).remove()
        try:
            await asyncio.to_thread(stop)
            del stop
            await asyncio.to_thread(release_memory)
        finally:
            self._memory.give_back(model)
        self._metrics.model_unloads[reason].inc()
        log.info("model %s left memory: %s", model.name, reason)

    def drain(self) -> None:
        """Load nothing more, and let the models that are there refuse new texts."""
        self.is_stopping = True
        for model in self._series:
            model.worker.drain()

    async def stop(self) -> None:
        """End every model, after `drain`."""
        async with self.lock:
            for model in self._series:
                await asyncio.to_thread(model.worker.stop)
        if self._loads:
            await asyncio.wait(self._loads.values())
