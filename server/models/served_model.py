"""A model that is served: what its artifact says of it, and, while it is in memory, what translates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from export.contract.manifest import Manifest
from model.text.tokenizer import Tokenizer
from server.models.loaded_model import LoadedModel
from server.models.memory import MemoryNeed
from server.work.worker import Worker


@dataclass(frozen=True, kw_only=True)
class LoadFailure:
    """Why a model could not be loaded, and when, on the monotonic clock."""

    reason: str
    at: float


@dataclass(kw_only=True, eq=False)
class ServedModel:
    """One version of a model, as its manifest describes it; of the event loop's thread.

    Args:
        need: The memory that it is reckoned to take.
        loaded: None while it is not in memory.
        is_replaced: Whether another version has taken its place: it is not loaded any more.
        failure: Of the last attempt to load it; None if that went well, or there was none.
    """

    folder: Path
    manifest: Manifest
    sha256: str
    max_source_tokens: int
    max_target_tokens: int
    need: MemoryNeed
    loaded: LoadedModel | None = None
    failure: LoadFailure | None = None
    is_replaced: bool = False
    last_used: float = field(default_factory=time.monotonic)
    _num_calls: int = 0
    _is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._is_idle.set()

    @property
    def name(self) -> str:
        """The name that its manifest gives it."""
        return self.manifest.name

    @property
    def tokenizer(self) -> Tokenizer:
        """Of a model that is in memory."""
        return self._present.tokenizer

    @property
    def worker(self) -> Worker:
        """Of a model that is in memory."""
        return self._present.worker

    @property
    def _present(self) -> LoadedModel:
        assert self.loaded is not None, f"model {self.name} is used without being loaded"
        return self.loaded

    @property
    def is_idle(self) -> bool:
        """Whether no call needs it, nor waits until it is loaded."""
        return not self._num_calls

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """For as long as a call needs it: it is not dropped meanwhile."""
        self._num_calls += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._num_calls -= 1
            self.last_used = time.monotonic()
            if not self._num_calls:
                self._is_idle.set()

    async def retire(self) -> None:
        """End it once no call needs it, after another has taken its place."""
        await self._is_idle.wait()
        if (loaded := self.loaded) is not None:
            self.loaded = None
            await asyncio.to_thread(loaded.stop)
