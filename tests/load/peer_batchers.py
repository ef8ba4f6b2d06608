"""How the peer's server makes batches for CTranslate2: two ways, of which the better one counts.

CTranslate2 batches within one `translate_batch` call and never across calls, asynchronous or not: so `async`
runs each request alone, two at a time on two cores, and `window` makes the batches itself.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import ctranslate2


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """How the peer runs.

    Args:
        num_replicas: Batches that run at once, each on one thread (inter_threads).
        window_seconds: How long the oldest waiting request waits for company at most.
        max_batch_tokens: Source tokens in a batch, at most; a longer source runs alone.
        num_ahead: Batches handed over beyond those that run, so that no replica waits for the next.
        has_vocabulary_map: Whether targets are chosen among those that the map gives to a source.
    """

    num_replicas: int
    window_seconds: float = 0.005
    max_batch_tokens: int = 1024
    num_ahead: int = 0
    has_vocabulary_map: bool = False


class Batcher(Protocol):
    """Translates pieces, greedily."""

    def start(self) -> None:
        """Called once, in the event loop."""

    async def translate(self, source: list[str], max_target_tokens: int) -> list[str]:
        """The target's pieces, end of sentence included where it was reached."""


def _greedy(max_target_tokens: int, config: PeerConfig) -> dict[str, Any]:
    return {
        "beam_size": 1,
        "max_input_length": 0,
        "max_decoding_length": max_target_tokens,
        "return_end_token": True,
        "use_vmap": config.has_vocabulary_map,
    }


class AsyncBatcher:
    """`translate_batch(asynchronous=True)` for each request, as it comes."""

    def __init__(self, translator: ctranslate2.Translator, config: PeerConfig) -> None:
        self._translator, self._config = translator, config
        self._pending: queue.SimpleQueue[tuple[Any, asyncio.Future[list[str]]]] = queue.SimpleQueue()

    def start(self) -> None:
        """A collector for each replica: results know no callback, and none shall wait for another's."""
        self._loop = asyncio.get_running_loop()
        for _ in range(self._config.num_replicas):
            threading.Thread(target=self._collect, daemon=True).start()

    async def translate(self, source: list[str], max_target_tokens: int) -> list[str]:
        """See `Batcher`."""
        (result,) = self._translator.translate_batch(
            [source], asynchronous=True, **_greedy(max_target_tokens, self._config)
        )
        future: asyncio.Future[list[str]] = self._loop.create_future()
        self._pending.put((result, future))
        return await future

    def _collect(self) -> None:
        while True:
            result, future = self._pending.get()
            pieces = result.result().hypotheses[0]
            self._loop.call_soon_threadsafe(future.set_result, pieces)


@dataclass(frozen=True)
class _Waiting:
    source: list[str]
    max_target_tokens: int
    arrived: float
    future: asyncio.Future[list[str]]


class WindowBatcher:
    """Gathers for some milliseconds, or while all replicas are busy, then translates all in one call."""

    def __init__(self, translator: ctranslate2.Translator, config: PeerConfig) -> None:
        self._translator, self._config = translator, config
        self._waiting: deque[_Waiting] = deque()
        num_batches = config.num_replicas + config.num_ahead
        self._pool = ThreadPoolExecutor(num_batches)
        self._free = asyncio.Semaphore(num_batches)
        self._arrived = asyncio.Event()

    def start(self) -> None:
        """Start the loop that hands batches over."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._hand_over())

    async def translate(self, source: list[str], max_target_tokens: int) -> list[str]:
        """See `Batcher`."""
        future: asyncio.Future[list[str]] = self._loop.create_future()
        self._waiting.append(_Waiting(source, max_target_tokens, self._loop.time(), future))
        self._arrived.set()
        return await future

    async def _hand_over(self) -> None:
        while True:
            while not self._waiting:
                await self._arrival()
            await self._free.acquire()
            await self._gather()
            batch = self._take()
            running = self._loop.run_in_executor(self._pool, self._run, batch)
            running.add_done_callback(partial(self._answer, batch))

    async def _arrival(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _gather(self) -> None:
        """Until the oldest has waited for the window, or a batch is full."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._waiting[0].arrived + self._config.window_seconds):
                while not self._is_full():
                    await self._arrival()

    def _is_full(self) -> bool:
        return sum(len(waiting.source) for waiting in self._waiting) >= self._config.max_batch_tokens

    def _take(self) -> list[_Waiting]:
        """First come, first served, as many as fit and share their limit on target tokens."""
        batch = [self._waiting.popleft()]
        num_tokens = len(batch[0].source)
        while self._waiting and self._waiting[0].max_target_tokens == batch[0].max_target_tokens:
            num_tokens += len(self._waiting[0].source)
            if num_tokens > self._config.max_batch_tokens:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _run(self, batch: list[_Waiting]) -> list[list[str]]:
        sources = [waiting.source for waiting in batch]
        results = self._translator.translate_batch(
            sources, **_greedy(batch[0].max_target_tokens, self._config)
        )
        return [result.hypotheses[0] for result in results]

    def _answer(self, batch: list[_Waiting], done: asyncio.Future[list[list[str]]]) -> None:
        self._free.release()
        for waiting, pieces in zip(batch, done.result(), strict=True):
            if not waiting.future.done():  # the call was cancelled meanwhile
                waiting.future.set_result(pieces)


BATCHERS: dict[str, type[AsyncBatcher | WindowBatcher]] = {"async": AsyncBatcher, "window": WindowBatcher}
