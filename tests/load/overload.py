"""More calls than a server can bear, and crowds beside single callers: `python -m tests.load.overload`.

Calls come at random times, whatever becomes of those before (an open loop), each with a deadline and without
retries. Goodput is what is answered in time, against what the same server does a moment before when as many
callers as it has slots ask again and again (a closed loop).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import cycle, product
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model.text.parallel_text import read_pairs
from server.evaluation.serving import running_server
from tests.running_server import ARTIFACT
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

_ROOT = Path(__file__).parents[2]
_TEXTS = [english for english, _ in read_pairs(_ROOT / "tests/data/en-it.tsv")]
_NUM_CALLERS = 64  # of the closed loop
_TEXTS_A_CALL = 4  # so that the calls cost whoever makes them less than the texts cost the server
_NUM_INTERACTIVE = 20
_NUM_BURST = 100
_NUM_CONNECTIONS = 16  # of the open loop: one holds no more than its streams, and the rest would wait outside
_CHANNEL = (("grpc.use_local_subchannel_pool", 1),)


def percentile(values: list[float], share: float) -> float:
    """The value that a share of all does not exceed; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


@dataclass(frozen=True, kw_only=True)
class Overload:
    """What became of calls that came `load` times as fast as they can be answered.

    Args:
        goodput_ratio: Calls answered in time, against the capacity measured before.
        codes: How many calls ended with which status.
        p99_seconds: Of those that were answered.
        health_p99_seconds: Of health checks meanwhile.
    """

    load: float
    deadline_seconds: float
    beam_size: int
    capacity: float
    goodput_ratio: float
    p99_seconds: float
    health_p99_seconds: float
    codes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How single callers fare beside bulk, and bulk beside them.

    Args:
        p50_seconds, p99_seconds: Of a caller's one text.
        bulk_ratio: Texts a second of all bulk callers, against the same alone.
    """

    num_bulk_callers: int
    p50_seconds: float
    p99_seconds: float
    bulk_ratio: float


def _request(beam_size: int, texts: list[str]) -> pb.TranslateRequest:
    return pb.TranslateRequest(
        source_language="en",
        target_language="it",
        texts=texts,
        options=pb.TranslateOptions(beam_size=beam_size, segmentation=pb.SEGMENTATION_NONE),
    )


@asynccontextmanager
async def _stub(address: str) -> AsyncIterator[pb_grpc.TranslationServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address, _CHANNEL) as channel:
        yield pb_grpc.TranslationServiceStub(channel)


async def _repeat(work: Callable[[], Awaitable[None]], until: float) -> None:
    while time.monotonic() < until:
        await work()


async def _closed_loop(address: str, beam_size: int, seconds: float) -> float:
    """Calls a second that the server answers."""
    num_answered = 0
    async with _stub(address) as stub:

        async def call() -> None:
            nonlocal num_answered
            await stub.Translate(_request(beam_size, random.choices(_TEXTS, k=_TEXTS_A_CALL)))
            num_answered += 1

        await asyncio.gather(*(_repeat(call, time.monotonic() + 1) for _ in range(_NUM_CALLERS)))
        num_answered, started = 0, time.monotonic()
        await asyncio.gather(*(_repeat(call, started + seconds) for _ in range(_NUM_CALLERS)))
        return num_answered / (time.monotonic() - started)


async def _check_health(address: str, latencies: list[float]) -> None:
    async with grpc.aio.insecure_channel(address, _CHANNEL) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            started = time.monotonic()
            await stub.Check(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
            latencies.append(time.monotonic() - started)
            await asyncio.sleep(0.05)


async def measure_overload(
    address: str, *, beam_size: int, load: float, deadline: float, seconds: float, has_burst: bool
) -> Overload:
    """Measure a server's capacity, and then what it makes of calls that come `load` times as fast.

    Args:
        deadline: Of each call, in seconds.
        has_burst: Whether many come at once in the middle.
    """
    capacity = await _closed_loop(address, beam_size, seconds / 4)
    codes: Counter[str] = Counter()
    latencies: list[float] = []
    health: list[float] = []
    tasks: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as stack:
        stubs = cycle([await stack.enter_async_context(_stub(address)) for _ in range(_NUM_CONNECTIONS)])

        async def call() -> None:
            started = time.monotonic()
            try:
                await next(stubs).Translate(
                    _request(beam_size, random.choices(_TEXTS, k=_TEXTS_A_CALL)), timeout=deadline
                )
            except grpc.RpcError as error:
                codes[error.code().name] += 1
            else:
                codes["OK"] += 1
                latencies.append(time.monotonic() - started)

        def begin() -> None:
            task = asyncio.create_task(call())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        checks = asyncio.create_task(_check_health(address, health))
        started = following = time.monotonic()
        bursts = [started + seconds / 2] if has_burst else []
        while following < started + seconds:
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            following += random.expovariate(load * capacity)
            begin()
            if bursts and following > bursts[0]:
                bursts.clear()
                for _ in range(_NUM_BURST):
                    begin()
        took = time.monotonic() - started
        await asyncio.gather(*tasks)
        checks.cancel()
        with suppress(asyncio.CancelledError, grpc.RpcError):
            await checks
    return Overload(
        load=load,
        deadline_seconds=deadline,
        beam_size=beam_size,
        capacity=capacity,
        goodput_ratio=codes["OK"] / took / capacity,
        p99_seconds=percentile(latencies, 0.99),
        health_p99_seconds=percentile(health, 0.99),
        codes=dict(codes),
    )


async def _crowd(
    address: str, num_bulk: int, seconds: float, *, with_interactive: bool
) -> tuple[list[float], float]:
    """Latencies of single callers, and texts a second of bulk callers."""
    latencies: list[float] = []
    num_texts = 0
    until = time.monotonic() + seconds
    async with _stub(address) as single, _stub(address) as bulk:

        async def translate_one() -> None:
            started = time.monotonic()
            await single.Translate(_request(4, [random.choice(_TEXTS)]))
            latencies.append(time.monotonic() - started)

        async def translate_many() -> None:
            nonlocal num_texts
            texts = random.choices(_TEXTS, k=1000)
            await bulk.Translate(_request(4, texts))
            num_texts += len(texts)

        started = time.monotonic()
        singles = [_repeat(translate_one, until) for _ in range(_NUM_INTERACTIVE * with_interactive)]
        await asyncio.gather(*singles, *(_repeat(translate_many, until) for _ in range(num_bulk)))
        return latencies, num_texts / (time.monotonic() - started)


async def measure_crowds(address: str, seconds: float) -> list[Crowd]:
    """Measure single callers alone, and beside one and four callers of bulk."""
    alone, _ = await _crowd(address, 0, seconds, with_interactive=True)
    result = [
        Crowd(
            num_bulk_callers=0,
            p50_seconds=percentile(alone, 0.5),
            p99_seconds=percentile(alone, 0.99),
            bulk_ratio=0.0,
        )
    ]
    for num_bulk in (1, 4):
        _, rate_alone = await _crowd(address, num_bulk, seconds, with_interactive=False)
        latencies, rate = await _crowd(address, num_bulk, seconds, with_interactive=True)
        result.append(
            Crowd(
                num_bulk_callers=num_bulk,
                p50_seconds=percentile(latencies, 0.5),
                p99_seconds=percentile(latencies, 0.99),
                bulk_ratio=rate / rate_alone,
            )
        )
    return result


def measure_overloads(address: str, seconds: float) -> Iterator[Overload]:
    """Each beam, deadline and load in turn; at the higher load with a burst on top."""
    for beam_size, deadline, load in product((1, 4), (0.5, 2.0), (1.1, 3.0)):
        yield asyncio.run(
            measure_overload(
                address,
                beam_size=beam_size,
                load=load,
                deadline=deadline,
                seconds=seconds,
                has_burst=load > 2,
            )
        )


def main() -> None:
    """Print what was seen, a line of JSON each."""
    parser = argparse.ArgumentParser(prog="tests.load.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--only", choices=("overload", "crowd"))
    arguments = parser.parse_args()
    with running_server(ARTIFACT) as address:
        if arguments.only != "crowd":
            for seen in measure_overloads(address, arguments.seconds):
                print(json.dumps(asdict(seen)), flush=True)
        if arguments.only != "overload":
            for crowd in asyncio.run(measure_crowds(address, arguments.seconds)):
                print(json.dumps(asdict(crowd)), flush=True)


if __name__ == "__main__":
    main()
