"""What reloads, a kill, bursts and a flood do to a server and to those who call it meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from tests.copied_artifact import copied_artifact
from tests.raw_http2 import RawConnection
from tests.running_server import (
    PATIENCE_SECONDS,
    RECURRENT,
    RunningServer,
    free_port,
    make_request,
    run_server,
)
from traghetto import CallError, Client
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

_TEXT = "The cat is on the table."
_NUM_CALLERS = 8
_FLOOD_SECONDS = 30.0  # at most
OWN_ANSWERS = ("OK", "RESOURCE_EXHAUSTED")  # of the server itself, where it has more calls than it takes


@dataclass(frozen=True, kw_only=True)
class Reloads:
    """Resident memory over some reloads, in MiB: at the start, at most in the first half and in the second.

    From one reload to the next it goes up and down by half, as two models are there or one.
    """

    num_reloads: int
    start_mib: float
    early_mib: float
    late_mib: float


@dataclass(frozen=True, kw_only=True)
class Restart:
    """What callers saw of a server that was killed and started again.

    Args:
        num_lost: Calls that failed.
        longest_seconds: Of a call.
        away_seconds: From the kill until the server said that it was ready again.
    """

    num_calls: int
    num_lost: int
    longest_seconds: float
    away_seconds: float


@dataclass(frozen=True, kw_only=True)
class Burst:
    """How many calls that came at once ended with which status."""

    num_calls: int
    seconds: float
    codes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Flood:
    """How others fare beside a connection that begins calls and cancels them, again and again.

    Args:
        num_lost: Of the others' calls, those that failed.
        alone_seconds, longest_seconds: Of the others' calls, the longest without the flood and beside it.
        closed_seconds: After which the server closed the connection; None if it did not.
    """

    num_calls: int
    num_lost: int
    alone_seconds: float
    longest_seconds: float
    closed_seconds: float | None


def measure_reloads(num_reloads: int) -> Reloads:
    """Replace a small model by another version of it, again and again."""
    with TemporaryDirectory() as folder:
        versions = [_version(Path(folder) / name, cut) for cut, name in enumerate(("one", "two"))]
        current = Path(folder) / "current"
        current.symlink_to(versions[0])
        with run_server(Path(folder) / "log", current) as server:
            resident = [_resident_mib(server)]
            for i in range(num_reloads):
                current.unlink()
                current.symlink_to(versions[(i + 1) % 2])
                _reload(server)
                resident.append(_resident_mib(server))
    return Reloads(
        num_reloads=num_reloads,
        start_mib=resident[0],
        early_mib=max(resident[: num_reloads // 2]),
        late_mib=max(resident[num_reloads // 2 :]),
    )


def _version(folder: Path, cut: int) -> Path:
    """The small model, its longest target by so many tokens shorter."""
    with copied_artifact(RECURRENT, folder) as manifest:
        manifest["max_target_tokens"] -= cut
    return folder


def _reload(server: RunningServer) -> None:
    with grpc.insecure_channel(server.admin) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        (model,) = stub.ReloadModels(admin_pb2.ReloadModelsRequest(), timeout=PATIENCE_SECONDS).models
    assert model.outcome == admin_pb2.RELOAD_OUTCOME_LOADED, model.message


def _resident_mib(server: RunningServer) -> float:
    return server.scrape()["process_resident_memory_bytes"] / (1 << 20)


def measure_restart(seconds: float) -> Restart:
    """Kill a server under load with -9, and start it again on its port."""
    latencies: list[float] = []
    losses: list[CallError] = []
    is_over = threading.Event()
    listen = f"--listen=127.0.0.1:{free_port()}"

    def call(client: Client) -> None:
        while not is_over.is_set():
            started = time.monotonic()
            try:
                client.translate([_TEXT], "en", "it")
            except CallError as error:
                losses.append(error)
            latencies.append(time.monotonic() - started)

    with TemporaryDirectory() as folder, ThreadPoolExecutor(_NUM_CALLERS) as pool:
        log = Path(folder) / "log"
        try:
            with run_server(log, RECURRENT, listen, expected_status=-9) as first:
                client = Client(first.address, PATIENCE_SECONDS)
                callers = [pool.submit(call, client) for _ in range(_NUM_CALLERS)]
                time.sleep(seconds / 2)
                first.process.kill()
                killed = time.monotonic()
            with run_server(log, RECURRENT, listen):
                away_seconds = time.monotonic() - killed
                time.sleep(seconds / 2)
                is_over.set()
                for caller in callers:
                    caller.result(PATIENCE_SECONDS)
        finally:
            is_over.set()
    client.close()
    return Restart(
        num_calls=len(latencies),
        num_lost=len(losses),
        longest_seconds=max(latencies),
        away_seconds=away_seconds,
    )


def measure_burst(address: str, num_calls: int) -> Burst:
    """Send so many calls of a text each at once."""

    async def burst() -> Counter[str]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)

            async def call() -> str:
                try:
                    await stub.Translate(make_request(_TEXT, beam_size=1), timeout=PATIENCE_SECONDS)
                except grpc.aio.AioRpcError as error:
                    return str(error.code().name)
                return OWN_ANSWERS[0]

            return Counter(await asyncio.gather(*(call() for _ in range(num_calls))))

    started = time.monotonic()
    codes = asyncio.run(burst())
    return Burst(num_calls=num_calls, seconds=time.monotonic() - started, codes=dict(codes))


def measure_flood(address: str, seconds: float) -> Flood:
    """Let some callers alone for a while; then flood the server beside them until it closes the connection.

    Args:
        seconds: Of the callers alone.
    """
    latencies: list[float] = []
    losses: list[CallError] = []
    is_over = threading.Event()

    def call() -> None:
        with Client(address, PATIENCE_SECONDS) as client:
            while not is_over.is_set():
                started = time.monotonic()
                try:
                    client.translate([_TEXT], "en", "it")
                except CallError as error:
                    losses.append(error)
                latencies.append(time.monotonic() - started)

    with ThreadPoolExecutor(_NUM_CALLERS) as pool:
        callers = [pool.submit(call) for _ in range(_NUM_CALLERS)]
        try:
            time.sleep(seconds)
            num_alone = len(latencies)
            closed_seconds = _flood(address, _FLOOD_SECONDS)
        finally:
            is_over.set()
        for caller in callers:
            caller.result(PATIENCE_SECONDS)
    return Flood(
        num_calls=len(latencies) - num_alone,
        num_lost=len(losses),
        alone_seconds=max(latencies[:num_alone]),
        longest_seconds=max(latencies[num_alone:]),
        closed_seconds=closed_seconds,
    )


def _flood(address: str, seconds: float) -> float | None:
    """Seconds until the server closed the connection."""
    flood = RawConnection(address, PATIENCE_SECONDS)
    started = time.monotonic()
    with flood.connection:
        while (passed := time.monotonic() - started) < seconds:
            try:
                flood.send_cancelled_calls()
            except ConnectionError:
                return passed
    return None
