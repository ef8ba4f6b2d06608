"""Whoever waits learns of every end, whatever thread it comes from, and the loop is woken once for many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any
from unittest import mock

import pytest

from server.work.loop_waker import LoopWaker

PATIENCE_SECONDS = 60.0
NUM_THREADS, NUM_CALLS, NUM_TEXTS = 4, 250, 3


def run(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(talk, PATIENCE_SECONDS))


def finish_in_thread(*futures: Future[int]) -> None:
    def finish() -> None:
        for future in futures:
            future.set_result(1)

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join()


def test_no_end_is_lost_when_many_threads_finish_at_once() -> None:
    async def talk() -> None:
        waker = LoopWaker()
        calls = [[Future[int]() for _ in range(NUM_TEXTS)] for _ in range(NUM_CALLS)]
        all_futures = [future for futures in calls for future in futures]

        def finish(first: int) -> None:
            for future in all_futures[first::NUM_THREADS]:
                future.set_result(first)

        waits = [asyncio.create_task(waker.all_done(futures)) for futures in calls]
        await asyncio.sleep(0)
        threads = [threading.Thread(target=finish, args=(i,)) for i in range(NUM_THREADS)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*waits)
        assert all(future.done() for future in all_futures)

    run(talk())


def test_a_call_waits_for_its_last_text_and_a_failure_is_an_end() -> None:
    async def talk() -> None:
        first, last = Future[int](), Future[int]()
        waiting = asyncio.create_task(LoopWaker().all_done([first, last]))
        await asyncio.sleep(0)
        first.set_exception(KeyError())
        for _ in range(3):
            await asyncio.sleep(0)
            assert not waiting.done()
        last.set_result(1)
        await waiting

    run(talk())


def test_nothing_and_what_is_done_already_are_not_waited_for() -> None:
    async def talk() -> None:
        waker, done = LoopWaker(), Future[int]()
        done.set_result(1)
        await waker.all_done([])
        await waker.all_done([done])

    run(talk())


def test_what_is_done_before_the_loop_looks_shares_a_wake_up() -> None:
    async def talk() -> None:
        waker, futures = LoopWaker(), [Future[int]() for _ in range(10)]
        waits = [asyncio.create_task(waker.all_done([future])) for future in futures]
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            finish_in_thread(*futures)
            assert wake.call_count == 1
            await asyncio.gather(*waits)

    run(talk())


def test_the_end_of_a_cancelled_call_disturbs_no_other() -> None:
    async def talk() -> None:
        waker, given_up, kept = LoopWaker(), Future[int](), Future[int]()
        waits = [asyncio.create_task(waker.all_done([future])) for future in (given_up, kept)]
        await asyncio.sleep(0)
        waits[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits[0]
        finish_in_thread(given_up)
        finish_in_thread(kept)
        await waits[1]

    run(talk())


def test_an_end_after_the_loop_has_closed_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    left = Future[int]()

    async def talk() -> None:
        waiting = asyncio.create_task(LoopWaker().all_done([left]))
        await asyncio.sleep(0)
        waiting.cancel()

    run(talk())
    left.set_result(1)
    assert not caplog.records
