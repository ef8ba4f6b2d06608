"""The models that a server serves now, and how a new artifact takes an old one's place under load."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.contract.manifest import ArtifactError, load_manifest
from model.text.tokenizer import TokenizerError
from server.config import ConfigError, ServerConfig
from server.engine.device import DeviceError
from server.errors import Draining
from server.models.loading import LoadedModel, Models, PoolsTooLarge, load_model
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners

log = logging.getLogger("traghetto.models")

UNSERVABLE = (ArtifactError, ConfigError, DeviceError, PoolsTooLarge, TokenizerError)


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
        ArtifactError, ConfigError, DeviceError, PoolsTooLarge, TokenizerError: as `load_model` and `Models`.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config, self._metrics = config, metrics
        self._busy_runners = busy_runners = BusyRunners()
        self.current = Models(
            [load_model(folder, config, metrics, busy_runners) for folder in config.artifacts]
        )
        self._lock = asyncio.Lock()  # one reload at a time
        self._tasks: set[asyncio.Task[object]] = set()  # the loop itself holds none
        self._is_stopping = False
        for model in self.current.in_order:
            self._show(model)

    @property
    def failed(self) -> list[str]:
        """Names of models that serve no more."""
        return [model.name for model in self.current.in_order if model.worker.has_failed]

    def reload_soon(self) -> None:
        """Reload, though nobody waits for it."""
        self._keep(self.reload())

    async def reload(self) -> list[Reload]:
        """Read every artifact folder again and serve what is new; no call fails by it."""
        async with self._lock:
            found = [await self._reload(i, folder) for i, folder in enumerate(self._config.artifacts)]
        for result in found:
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
        return found

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
        try:
            is_same = load_manifest(folder).digest() == old.sha256
            return None if is_same else load_model(folder, self._config, self._metrics, self._busy_runners)
        except OSError as error:
            raise ArtifactError(f"artifact {folder} cannot be read: {error}") from error

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
            await asyncio.to_thread(new.worker.stop)
            raise
        self._hide(old)
        self._show(new)
        self._keep(old.retire())

    def _refuse_if_stopping(self) -> None:
        if self._is_stopping:
            raise Draining

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _show(self, model: LoadedModel) -> None:
        metrics, precision = self._metrics, model.manifest.precision
        model.worker.show()
        metrics.model_load_seconds.labels(model.name).set(model.load_seconds)
        metrics.model_info.labels(model.name, model.sha256, precision).set(1)
        metrics.provider_info.labels(model.name, model.provider, self._config.device).set(1)

    def _hide(self, model: LoadedModel) -> None:
        """Take an old artifact out of the metrics; calls that it still has are the last of it."""
        metrics = self._metrics
        model.worker.hide()
        metrics.model_load_seconds.remove(model.name)
        metrics.model_info.remove(model.name, model.sha256, model.manifest.precision)
        metrics.provider_info.remove(model.name, model.provider, self._config.device)

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


def _result(folder: Path, model: LoadedModel, outcome: Outcome, message: str = "") -> Reload:
    return Reload(artifact=folder, model=model.name, sha256=model.sha256, outcome=outcome, message=message)
