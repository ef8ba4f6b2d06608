"""The models that a server serves now, and how a new artifact takes an old one's place under load."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.contract.manifest import ArtifactError, load_manifest
from server.config import ServerConfig
from server.errors import Draining
from server.models.catalogue import Models
from server.models.loading import UNSERVABLE, LoadedModel, blaming, load_model
from server.models.machine import release_memory
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics
from server.work.busy_runners import BusyRunners

log = logging.getLogger("traghetto.models")


class Outcome(enum.StrEnum):
    """What a reload did with an artifact."""

    UNCHANGED = "unchanged"
    LOADED = "loaded"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Reload:
    """What became of one artifact folder.

    Args:
        model, sha256: Of what is served now.
        message: Why it was refused.
    """

    artifact: Path
    model: str
    sha256: str
    outcome: Outcome
    message: str = ""


class ServedModels:
    """Loads all artifacts, and again when it is told to; of the event loop's thread, but for its beginning.

    Raises:
        ArtifactError, ServerConfigError, DeviceError, PoolsTooLarge, TokenizerError: as `load_model` and
            `Models` raise them.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config, self._metrics = config, metrics
        self._busy_runners = busy_runners = BusyRunners()
        self._gpu_turn = gpu_turn = threading.RLock()
        self.current = Models(
            [load_model(folder, config, metrics, busy_runners, gpu_turn) for folder in config.artifacts]
        )
        self._lock = asyncio.Lock()  # one reload at a time
        self._tasks: set[asyncio.Task[object]] = set()  # the loop itself holds none
        self._is_stopping = False
        self._series = [self._publish(model) for model in self.current.in_order]  # by artifact

    @property
    def failures(self) -> dict[str, Exception]:
        """By their names the models that serve no more, and what their workers died of."""
        models = self.current.in_order
        return {model.name: model.worker.failure for model in models if model.worker.failure is not None}

    def reload_soon(self) -> None:
        """Reload, though nobody waits for it."""
        self._keep(self.reload())

    async def reload(self) -> list[Reload]:
        """Read every artifact folder again and serve what is new; no call fails by it."""
        async with self._lock:
            results = [await self._reload(i, folder) for i, folder in enumerate(self._config.artifacts)]
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

    async def _reload(self, i: int, folder: Path) -> Reload:
        old = self.current.in_order[i]
        try:
            self._refuse_if_stopping()
            new = await asyncio.to_thread(self._load_if_new, folder, old)
            if new is None:
                return _result(folder, old, Outcome.UNCHANGED)
            await self._take_over(i, new)
        except (*UNSERVABLE, Draining) as error:
            return _result(folder, old, Outcome.REFUSED, str(error))
        return _result(folder, new, Outcome.LOADED)

    def _load_if_new(self, folder: Path, old: LoadedModel) -> LoadedModel | None:
        with blaming(folder):
            is_same = load_manifest(folder).digest() == old.sha256
            if is_same:
                return None
            return load_model(folder, self._config, self._metrics, self._busy_runners, self._gpu_turn)

    async def _take_over(self, i: int, new: LoadedModel) -> None:
        """Let new calls go to the new model, and end the old one when its last call has.

        Raises:
            ArtifactError: its name is another's.
            Draining: the server is stopping.
        """
        models = self.current.in_order
        old, models[i] = models[i], new
        try:
            self._refuse_if_stopping()
            self.current = Models(models)
        except (ArtifactError, Draining):
            await asyncio.to_thread(new.stop)
            raise
        self._series[i].remove()  # calls that the old one still has are the last of it
        self._series[i] = self._publish(new)
        self._keep(_end(old.retire()))

    def _refuse_if_stopping(self) -> None:
        if self._is_stopping:
            raise Draining

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _publish(self, model: LoadedModel) -> ModelMetrics:
        """Put a model into the metrics, from which another one of its name has gone."""
        series = self._metrics.of_model(model.name)
        series.set_identity(
            sha256=model.sha256,
            precision=model.manifest.precision,
            load_seconds=model.load_seconds,
            warm_up_seconds=model.warm_up_seconds,
        )
        series.set_provider(model.provider, self._config.device)
        model.worker.publish(series)
        return series

    def drain(self) -> None:
        """Refuse new texts from now on, and reloads."""
        self._is_stopping = True
        for model in self.current:
            model.worker.drain()

    async def stop(self) -> None:
        """End every worker, after `drain`."""
        async with self._lock:
            for model in self.current:
                await asyncio.to_thread(model.worker.stop)
        if self._tasks:  # without the lock: among them may be reloads that wait for it
            await asyncio.wait(self._tasks)


async def _end(retiring: Coroutine[Any, Any, object]) -> None:
    """Wait until a model has ended, and give its memory back to the machine."""
    await retiring
    del retiring  # it holds the model
    await asyncio.to_thread(release_memory)


def _result(folder: Path, model: LoadedModel, outcome: Outcome, message: str = "") -> Reload:
    return Reload(artifact=folder, model=model.name, sha256=model.sha256, outcome=outcome, message=message)
