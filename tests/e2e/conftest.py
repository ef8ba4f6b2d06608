"""The real server as a process, and the ways to talk to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.pb.translation.v1 import translation_pb2 as pb
from server.pb.translation.v1 import translation_pb2_grpc as pb_grpc

ARTIFACT = Path(__file__).parents[2] / "export/artifacts/en-it"
PATIENCE_SECONDS = 120.0  # for a slow machine; nothing here measures speed
SLOTS = 4
_READY = re.compile(r"traghetto ready: grpc=(\S+) metrics=(\S+) health=(\S+) admin=(\S+) models=(\S+)\n")
# Nothing a model has learnt: it finds no end and runs into the limit, hundreds of steps later.
_LONG_TEXT = "🛶🎭" * 25


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that has printed its ready line.

    Args:
        address, health, admin: HOST:PORT.
        metrics: URL.
        models: As the ready line names them.
        log: What it writes to standard error.
    """

    process: subprocess.Popen[str]
    address: str
    metrics: str
    health: str
    admin: str
    models: str
    log: Path

    def scrape(self) -> dict[str, float]:
        """The metrics page: series, labels included, to value."""
        with urllib.request.urlopen(self.metrics, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - our own
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, value in (i.rsplit(" ", 1) for i in lines if i[:1] != "#")}

    def wait_until(self, is_so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Scrape until the metrics satisfy a condition."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_so(found := self.scrape()):
            assert time.monotonic() < until, {k: v for k, v in found.items() if "_bucket" not in k}
            time.sleep(0.01)
        return found

    def settled(self) -> dict[str, float]:
        """The page once every call that began is counted as handled: that is a little after its answer."""

        def number(page: dict[str, float], name: str) -> float:
            return sum(value for series, value in page.items() if series.startswith(f"{name}{{"))

        return self.wait_until(
            lambda page: (
                number(page, "grpc_server_started_total")
                == number(page, "grpc_server_handling_seconds_count")
            )
        )

    def wait_for(self, series: str, value: float) -> None:
        """Scrape until a series has this value."""
        self.wait_until(lambda found: found.get(series) == value)

    def wait_until_running(self, count: int, model: str = "en-it") -> None:
        """Scrape until so many sequences have a slot."""
        self.wait_for(f'translator_running_sequences{{model="{model}"}}', count)

    def wait_until_queued(self, count: int, model: str = "en-it") -> None:
        """Scrape until so many sequences wait for a slot."""
        self.wait_for(f'translator_queue_requests{{model="{model}"}}', count)

    def terminate(self) -> int:
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def _run_server(log: Path, *arguments: str | Path) -> Iterator[RunningServer]:
    with (
        log.open("w") as errors,
        subprocess.Popen(
            _command(*arguments), stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment()
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = _READY.fullmatch(process.stdout.readline())
            assert ready, log.read_text()
            names = ("address", "metrics", "health", "admin", "models")
            yield RunningServer(process=process, log=log, **dict(zip(names, ready.groups(), strict=True)))
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            process.kill()


def _command(*arguments: str | Path) -> list[str]:
    names = ("listen", "metrics-listen", "health-listen", "admin-listen")
    places = [f"--{name}=127.0.0.1:0" for name in names]
    # One runner, so that slots can be counted; a test of several says so.
    return [sys.executable, "-m", "server.serve_command", *places, "--runners=1", *map(str, arguments)]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TRAGHETTO_")}


StartServer = Callable[..., AbstractContextManager[RunningServer]]


@pytest.fixture(scope="session")
def artifact() -> Path:
    """The bundled one."""
    return ARTIFACT


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Run a server with more arguments than its addresses; it must end with status 0."""
    return lambda *arguments: _run_server(tmp_path_factory.mktemp("server") / "log", *arguments)


@pytest.fixture(scope="session")
def serve_in_vain() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a server that is expected to refuse."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _command(*arguments),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            env=_environment(),
        )

    return run


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> Iterator[RunningServer]:
    """The server that most tests use: few slots, so that texts wait, join and leave."""
    with start_server(ARTIFACT, f"--slots={SLOTS}") as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[[RunningServer], pb_grpc.TranslationServiceStub]]:
    """A stub of a server, closed with the test."""
    channels = []

    def stub_of(running: RunningServer) -> pb_grpc.TranslationServiceStub:
        channels.append(grpc.insecure_channel(running.address))
        return pb_grpc.TranslationServiceStub(channels[-1])

    yield stub_of
    for channel in channels:
        channel.close()


@pytest.fixture
def stub(
    server: RunningServer, connect: Callable[[RunningServer], pb_grpc.TranslationServiceStub]
) -> pb_grpc.TranslationServiceStub:
    """Of the server that most tests use."""
    return connect(server)


@pytest.fixture(scope="session")
def long_request() -> pb.TranslateRequest:
    """One text whose translation takes hundreds of steps."""
    return pb.TranslateRequest(
        source_language="en",
        target_language="it",
        texts=[_LONG_TEXT],
        options=pb.TranslateOptions(beam_size=16, max_target_tokens=256),
    )


@pytest.fixture(scope="session")
def make_request() -> Callable[..., pb.TranslateRequest]:
    """A request for texts from English to Italian, or for another pair, with any options."""

    def make(*texts: str, pair: str = "en-it", model: str = "", **options: Any) -> pb.TranslateRequest:
        source, target = pair.split("-")
        return pb.TranslateRequest(
            source_language=source,
            target_language=target,
            texts=texts,
            model=model,
            options=pb.TranslateOptions(**options),
        )

    return make
