"""The real server as a process, and what tests ask of it."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traghetto.pb.translation.v1 import translation_pb2 as pb

ARTIFACT = Path(__file__).parents[1] / "export/artifacts/en-it"
RECURRENT = ARTIFACT.with_name("en-it-lstm")  # small: quick to start
PATIENCE_SECONDS = 120.0  # for a slow machine; nothing here measures speed
_READY = re.compile(r"traghetto ready: grpc=(\S+) metrics=(\S+) health=(\S+) admin=(\S+) models=(\S+)\n")
# 200 digits, each a token: a model that copies them, and one that gets lost, takes hundreds of steps.
LONG_TEXT = "12" * 100


def scrape(url: str) -> dict[str, float]:
    """A metrics page: series, labels included, to value."""
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - our own
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, value in (i.rsplit(" ", 1) for i in lines if i[:1] != "#")}


def sequences_a_step(before: dict[str, float], after: dict[str, float]) -> float:
    """How many sequences the decode steps between two pages had on average."""
    series = 'translator_batch_sequences_{}{{phase="decode_step"}}'
    total, count = (after[name] - before[name] for name in (series.format("sum"), series.format("count")))
    return total / count


def free_port() -> int:
    """One below those that the system gives to outgoing connections, so it is free after a restart too."""
    for port in random.SystemRandom().sample(range(10_000, 32_000), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")


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
        """Its metrics page now."""
        return scrape(self.metrics)

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


StartServer = Callable[..., AbstractContextManager[RunningServer]]


@contextmanager
def run_server(log: Path, *arguments: str | Path, expected_status: int = 0) -> Iterator[RunningServer]:
    """Run one with these arguments besides its addresses; it must end with the status expected."""
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
            assert process.wait(PATIENCE_SECONDS) == expected_status, log.read_text()
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            process.kill()


def serve_in_vain(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one that is expected to refuse."""
    return subprocess.run(
        _command(*arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=_environment(),
    )


def _command(*arguments: str | Path) -> list[str]:
    names = ("listen", "metrics-listen", "health-listen", "admin-listen")
    places = [f"--{name}=127.0.0.1:0" for name in names]
    # One runner, so that slots can be counted; a test of several says so.
    return [sys.executable, "-m", "server.commands.serve", *places, "--runners=1", *map(str, arguments)]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TRAGHETTO_")}


def make_request(*texts: str, pair: str = "en-it", model: str = "", **options: Any) -> pb.TranslateRequest:
    """A request for texts from English to Italian, or for another pair, with any options."""
    source, target = pair.split("-")
    return pb.TranslateRequest(
        source_language=source,
        target_language=target,
        texts=texts,
        model=model,
        options=pb.TranslateOptions(**options),
    )


def long_request() -> pb.TranslateRequest:
    """One text whose translation takes hundreds of steps."""
    return make_request(LONG_TEXT, beam_size=16, max_target_tokens=256)


def repeated(request: pb.TranslateRequest, count: int) -> pb.TranslateRequest:
    """A call with the texts of another so many times."""
    result = pb.TranslateRequest()
    result.CopyFrom(request)
    result.texts.extend([*request.texts] * (count - 1))
    return result
