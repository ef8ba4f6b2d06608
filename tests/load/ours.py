"""Our engine in process, as the server runs it but without gRPC; the one place here that knows how."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from server.config import ServerConfig
from server.engine.sequence import Beam
from server.models.loading import described_model, load_model, read_manifest
from server.models.memory import MemoryLimits
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job import Job
from server.work.options import SearchOptions
from server.work.worker import Worker

_LENGTH_PENALTY = 1.0
_MAX_QUEUE = 1_000_000  # a test set is queued at once


class Ours:
    """An artifact behind the calls that the peers have.

    Args:
        folder: The artifact.
        config: Fields of `ServerConfig`, where they are not the server's defaults.
    """

    def __init__(self, folder: Path, **config: Any) -> None:
        options: dict[str, Any] = {"max_queue": _MAX_QUEUE} | config
        server_config = ServerConfig(artifacts=(folder,), **options)
        model = described_model(folder, read_manifest(folder), server_config, MemoryLimits())
        self._model = load_model(model, server_config, Metrics(), BusyRunners(), nullcontext())

    @property
    def worker(self) -> Worker:
        """What runs the engine."""
        return self._model.worker

    def translate(
        self, sources: Sequence[Sequence[int]], beam_size: int, max_target_tokens: int
    ) -> list[list[int]]:
        """Best targets of source ids (tag and END_ID included), END_ID left out."""
        end = self._model.session.manifest.special_ids.end
        jobs = [
            Job(
                source=tuple(source),
                options=SearchOptions(
                    method=Beam(beam_size=beam_size),
                    length_penalty=_LENGTH_PENALTY,
                    max_target_tokens=max_target_tokens,
                    with_scores=False,  # the peers return none
                ),
            )
            for source in sources
        ]
        found = []
        for _, future in self.worker.submit(jobs):
            ids = list(future.result()[0].token_ids)
            found.append(ids[:-1] if ids[-1:] == [end] else ids)
        return found

    def translate_one(self, source: Sequence[int], beam_size: int, max_target_tokens: int) -> list[int]:
        """Translate one source alone."""
        return self.translate([source], beam_size, max_target_tokens)[0]

    def close(self) -> None:
        """End the worker's thread."""
        self.worker.stop()
