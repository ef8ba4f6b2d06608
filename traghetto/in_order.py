"""Many items at once, and their results in order: with threads, and with asyncio."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
T = TypeVar("T")


def in_order(function: Callable[[Item], T], items: Iterable[Item], concurrency: int) -> Iterator[T]:
    """Call a function on each item as it comes, in threads, and give the results in order as each is done.

    Items are read in a thread of their own, so that a result need not wait for the item behind it.

    Args:
        concurrency: Calls under way and results not yet taken, at most; no more items are read ahead.

    Raises:
        Exception: what reading an item, or the call on it, raised, in its place.
    """
    futures: queue.Queue[Future[T] | None] = queue.Queue()
    free = threading.Semaphore(concurrency)
    is_over = threading.Event()

    def read() -> None:
        try:
            for item in items:
                free.acquire()
                if is_over.is_set():
                    return
                futures.put(pool.submit(function, item))
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where results are read
            failed: Future[T] = Future()
            failed.set_exception(error)
            futures.put(failed)
        futures.put(None)

    pool = ThreadPoolExecutor(concurrency)
    threading.Thread(target=read, daemon=True).start()
    try:
        while (future := futures.get()) is not None:
            result = future.result()
            free.release()
            yield result
    finally:
        is_over.set()
        free.release()  # the reader may wait for it
        # Who turns away in the middle does not wait for what is under way; at the end there is none.
        pool.shutdown(wait=False, cancel_futures=True)


async def in_order_async(
    function: Callable[[Item], Awaitable[T]],
    items: Iterable[Item] | AsyncIterable[Item],
    concurrency: int,
) -> AsyncIterator[T]:
    """Call a function on each item as it comes, in tasks, and give the results in order as each is done.

    Args:
        concurrency: Calls under way and results not yet taken, at most; no more items are read ahead.

    Raises:
        Exception: what reading an item, or the call on it, raised, in its place.
    """
    tasks: asyncio.Queue[asyncio.Task[T] | None] = asyncio.Queue()
    free = asyncio.Semaphore(concurrency)

    async def read() -> None:
        try:
            async for item in _as_async(items):
                await free.acquire()
                tasks.put_nowait(asyncio.ensure_future(_awaited(function(item))))
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where results are read
            tasks.put_nowait(asyncio.ensure_future(_raised(error)))
        tasks.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await tasks.get()) is not None:
            try:
                yield await task
            finally:
                task.cancel()
                free.release()
    finally:
        reader.cancel()
        while not tasks.empty():
            rest = tasks.get_nowait()
            if rest is not None:
                rest.cancel()


async def _as_async(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def _awaited(result: Awaitable[T]) -> T:
    return await result


async def _raised(error: Exception) -> T:
    raise error
