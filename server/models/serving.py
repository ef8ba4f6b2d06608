"""The models that a server serves now, and how a new artifact takes an old one's place under load."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections.abc import Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from server.config import ServerConfig
from server.documents.glossary_file import GlossaryError, read_glossary
from server.errors import Draining
from server.models.catalogue import Models
from server.models.loading import (
    UNSERVABLE,
    described_model,
    load_model,
    read_manifest,
    require_unchanged,
)
from server.models.machine import release_memory
from server.models.memory import MemoryLimits, ModelMemory
from server.models.model_cache import ModelCache
from server.models.served_model import ServedModel
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics
from server.work.busy_runners import BusyRunners

log = logging.getLogger("traghetto.models")

_MOST_IDLE_WATCH_SECONDS = 1.0  # between two looks for models that are idle


class Outcome(enum.StrEnum):
    """What a reload did with an artifact."""

    UNCHANGED = "unchanged"
    LOADED = "loaded"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Reload:
    """What became of one artifact folder, or of a glossary's file.

    Args:
        model, sha256: Name and digest of what is served now.
        message: Why it was refused.
    """

    artifact: Path
    model: str
    sha256: str
    outcome: Outcome
    message: str = ""


class ServedModels:
    """The models of all artifacts; of the event loop's thread, but for its beginning.

    Raises:
        ArtifactError, ServerConfigError, DeviceError, ModelMemoryFull, PoolsTooLarge, TokenizerError: as
            `load_model` and `Models` raise them, or a model would not fit if it were alone.
        GlossaryError: as `read_glossary`.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config, self._metrics = config, metrics
        self.glossaries = {name: read_glossary(file) for name, file in config.glossary_files.items()}
        manifests = [read_manifest(folder) for folder in config.artifacts]
        self._limits = MemoryLimits.of(config, manifests)
        self._load = partial(
            load_model,
            config=config,
            metrics=metrics,
            busy_runners=BusyRunners(),
            gpu_turn=threading.RLock(),
        )
        self._memory = ModelMemory(self._limits)
        self._cache = ModelCache(require_unchanged, self._load, self._memory, metrics, config.device)
        models = [
            described_model(folder, manifest, config, self._limits)
            for folder, manifest in zip(config.artifacts, manifests, strict=True)
        ]
        self.current = self._listed(models)
        self._tasks: set[asyncio.Task[object]] = set()  # the loop itself holds none
        self._series = [self._list(model) for model in models]  # by artifact
        for model in models:
            self._memory.require(model.name, model.need, without=models if config.is_on_demand else ())
            if not config.is_on_demand:
                self._cache.enter(model, self._load(model))

    def use(self, model: ServedModel, deadline: float | None) -> AbstractAsyncContextManager[None]:
        """Have a model in memory for as long as a call needs it, see `ModelCache.use`."""
        return self._cache.use(model, deadline)

    def fit_together(self, models: Iterable[ServedModel]) -> bool:
        """Whether the memory for models can ever hold all of these at once."""
        return self._memory.fit_together(model.need for model in models)

    async def drop_idle_models(self) -> None:
        """Drop models that nobody has asked for, time and again; ends at once where none is to be dropped."""
        if (idle_seconds := self._config.idle_unload_seconds) is None:
            return
        while True:
            await asyncio.sleep(min(idle_seconds / 2, _MOST_IDLE_WATCH_SECONDS))
            await self._cache.drop_idle(idle_seconds)

    @property
    def failures(self) -> dict[str, Exception]:
        """By their names the models that serve no more, and what their workers died of."""
        workers = {model.name: model.worker for model in self._cache.loaded}
        return {name: worker.failure for name, worker in workers.items() if worker.failure is not None}

    def _listed(self, models: list[ServedModel]) -> Models:
        return Models(models, self._config.defaults_of_pairs, self._config.pivot_languages)

    def _list(self, model: ServedModel) -> ModelMetrics:
        series = self._metrics.of_model(model.name)
        series.follow_presence(lambda: model.loaded is not None)
        return series

    def reload_soon(self) -> None:
        """Reload, though nobody waits for it."""
        self._keep(self.reload())

    async def reload(self) -> list[Reload]:
        """Read every artifact folder and every glossary again and serve what is new; no call fails by it."""
        async with self._cache.lock:
            results = [await self._reload(i, folder) for i, folder in enumerate(self._config.artifacts)]
            results += await asyncio.to_thread(self._reload_glossaries)
        for result in results:
            self._metrics.model_reloads[result.outcome].inc()
            log.log(
                logging.ERROR if result.outcome is Outcome.REFUSED else logging.INFO,
                "reload of %s: %s, model %s, sha256 %s%s",
                result.artifact,
                result.outcome,
                result.model,
                result.sha256,
                f": {result.message}" if result.message else "",
            )
        return results

    def _reload_glossaries(self) -> list[Reload]:
        """Read every glossary again; of one that is no good the old one stays."""
        results = []
        for name, file in self._config.glossary_files.items():
            now, outcome, message = self.glossaries[name], Outcome.UNCHANGED, ""
            try:
                new = read_glossary(file)
            except GlossaryError as error:
                outcome, message = Outcome.REFUSED, str(error)
            else:
                if new.sha256 != now.sha256:
                    now, outcome = new, Outcome.LOADED
            self.glossaries = {**self.glossaries, name: now}
            results.append(
                Reload(artifact=file, model=name, sha256=now.sha256, outcome=outcome, message=message)
            )
        return results

    async def _reload(self, i: int, folder: Path) -> Reload:
        old = self.current.in_order[i]
        try:
            self._cache.refuse_if_stopping()
            manifest = await asyncio.to_thread(read_manifest, folder)
            if manifest.digest() == old.sha256:
                old.failure = None  # whoever reloads has mended what kept it from being loaded
                return _result(folder, old, Outcome.UNCHANGED)
            new = described_model(folder, manifest, self._config, self._limits)
            await self._take_over(i, old, new)
        except (*UNSERVABLE, Draining) as error:
            return _result(folder, old, Outcome.REFUSED, str(error))
        return _result(folder, new, Outcome.LOADED)

    async def _take_over(self, i: int, old: ServedModel, new: ServedModel) -> None:
        """Let new calls go to the new model, in memory if the old one is, and end that with its last call.

        Raises:
            ArtifactError, DeviceError, ModelMemoryFull, PoolsTooLarge, TokenizerError: it cannot be served.
            Draining: the server is stopping.
        """
        models = self.current.in_order
        models[i] = new
        listed = self._listed(models)
        self._memory.require(new.name, new.need, without=self.current.in_order)
        loaded = None
        if old.loaded is not None:
            await self._cache.make_room(new, instead_of=old)
            loaded = await asyncio.to_thread(self._load, new)
            if self._cache.is_stopping:
                await asyncio.to_thread(loaded.stop)
        self._cache.refuse_if_stopping()
        self.current, old.is_replaced = listed, True
        self._series[i].remove()
        self._series[i] = self._list(new)
        self._cache.leave(old)  # calls that it still has are the last of it
        if loaded is not None:
            self._cache.enter(new, loaded)
        self._keep(_end(old.retire()))

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drain(self) -> None:
        """Refuse new texts from now on, and reloads."""
        self._cache.drain()

    async def stop(self) -> None:
        """End every worker, after `drain`."""
        await self._cache.stop()
        if self._tasks:  # without the lock: among them may be reloads that wait for it
            await asyncio.wait(self._tasks)


async def _end(retiring: Coroutine[Any, Any, object]) -> None:
    """Wait until a model has ended, and give its memory back to the machine."""
    await retiring
    del retiring  # it holds the model
    await asyncio.to_thread(release_memory)


def _result(folder: Path, model: ServedModel, outcome: Outcome, message: str = "") -> Reload:
    return Reload(artifact=folder, model=model.name, sha256=model.sha256, outcome=outcome, message=message)
