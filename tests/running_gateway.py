"""The real gateway as a process in front of a server, and what tests ask of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running_server import PATIENCE_SECONDS, RunningServer, run_server, scrape

_READY = re.compile(r"traghetto-gateway ready: http=(\S+) metrics=(\S+) server=(\S+)\n")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An HTTP answer.

    Args:
        code: Its status.
        headers: Names in lower case.
        body: As it came.
    """

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class RunningGateway:
    """A gateway that has printed its ready line.

    Args:
        url: http://HOST:PORT.
        address: HOST:PORT.
        metrics: URL of its metrics page.
        server: Behind it.
    """

    process: subprocess.Popen[str]
    url: str
    address: str
    metrics: str
    server: RunningServer

    def ask(
        self, path: str, body: object = None, *, kind: str = "application/json", **headers: str
    ) -> Answered:
        """One request; a body that is no bytes goes as JSON, none is a GET."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            fields["content-type"] = kind
        request = urllib.request.Request(self.url + path, data=data, headers=fields)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
                return _answered(answer.status, answer.headers.items(), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answered(error.code, error.headers.items(), error.read())

    def scrape(self) -> dict[str, float]:
        """Its metrics page now."""
        return scrape(self.metrics)


def _answered(code: int, headers: Any, body: bytes) -> Answered:
    return Answered(code=code, headers={name.lower(): value for name, value in headers}, body=body)


def gateway_command(*arguments: object) -> list[str]:
    """What starts a gateway."""
    return [sys.executable, "-m", "server.commands.gateway", *map(str, arguments)]


@contextmanager
def run_gateway(log: Path, server: RunningServer, *arguments: object) -> Iterator[RunningGateway]:
    """Run one in front of a server, with these arguments besides its addresses; it must end with status 0."""
    places = ("--server", server.address, "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAGHETTO_")}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            gateway_command(*places, *arguments),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = _READY.fullmatch(process.stdout.readline())
            assert ready, log.read_text()
            address, metrics, _ = ready.groups()
            yield RunningGateway(
                process=process, url=f"http://{address}", address=address, metrics=metrics, server=server
            )
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            process.kill()


@contextmanager
def run_both(folder: Path, artifact: Path, *arguments: object) -> Iterator[RunningGateway]:
    """A server of an artifact, and a gateway with these arguments in front of it."""
    with (
        run_server(folder / "server.log", artifact, "--slots=4") as server,
        run_gateway(folder / "gateway.log", server, *arguments) as gateway,
    ):
        yield gateway
