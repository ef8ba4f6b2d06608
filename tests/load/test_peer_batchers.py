"""The peer's batcher gathers as it says: together within the window, and while its replicas are busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from tests.load.peer_batchers import PeerConfig, WindowBatcher

LIMIT = 8


class FakeTranslator:
    """Echoes; a batch that begins with "wait" runs until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[list[str]]] = []
        self.is_busy = threading.Event()
        self.let_go = threading.Event()

    def translate_batch(self, sources: list[list[str]], **options: Any) -> list[SimpleNamespace]:
        self.batches.append(sources)
        if sources[0][0] == "wait":
            self.is_busy.set()
            assert self.let_go.wait(10)
        return [SimpleNamespace(hypotheses=[source]) for source in sources]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def translate_all(translator: FakeTranslator, config: PeerConfig, sources: Sequence[list[str]]) -> None:
    """Translate sources that arrive together, and check that each gets its own."""

    async def run() -> list[list[str]]:
        batcher = WindowBatcher(translator, config)
        batcher.start()
        return await asyncio.gather(*(batcher.translate(source, LIMIT) for source in sources))

    assert asyncio.run(run()) == list(sources)


def test_requests_that_arrive_together_share_a_batch() -> None:
    translator = FakeTranslator()
    translate_all(translator, PeerConfig(num_replicas=2), [["a"], ["b", "c"], ["d"]])
    assert translator.sizes == [3]


def test_batch_holds_no_more_tokens_than_it_may() -> None:
    translator = FakeTranslator()
    config = PeerConfig(num_replicas=2, max_batch_tokens=4)
    translate_all(translator, config, [["a", "b"], ["c", "d"], ["e", "f"], ["g"] * 9])
    assert translator.sizes == [2, 1, 1]


def test_what_arrives_while_all_replicas_are_busy_goes_together() -> None:
    translator = FakeTranslator()

    async def run() -> None:
        batcher = WindowBatcher(translator, PeerConfig(num_replicas=1, window_seconds=0.001))
        batcher.start()
        first = asyncio.create_task(batcher.translate(["wait"], LIMIT))
        assert await asyncio.to_thread(translator.is_busy.wait, 10)
        others = [asyncio.create_task(batcher.translate([str(i)], LIMIT)) for i in range(5)]
        await asyncio.sleep(0.02)
        assert translator.sizes == [1]
        translator.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    assert translator.sizes == [1, 5]
