"""A real Prometheus and a real Alertmanager as processes, and a receiver of what they send."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.programs import program

PATIENCE_SECONDS = 120.0  # for a slow machine; nothing here measures speed
Samples = list[tuple[float, float]]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Ask again and again, and give up in the end."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.1)


class Prometheus:
    """A running one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def value(self, expr: str) -> float | None:
        """The newest value of an expression that gives one series, or none."""
        found = self._ask("query", query=expr)["result"]
        return float(found[0]["value"][1]) if found else None

    def series(
        self, expr: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], Samples]]:
        """Labels and samples of every series in a stretch of time."""
        found = self._ask("query_range", query=expr, start=start, end=end, step=step)
        return [
            (one["metric"], [(float(at), float(value)) for at, value in one["values"]])
            for one in found["result"]
        ]

    def wait_until(self, expr: str) -> None:
        """Wait until an expression gives anything."""
        wait_until(lambda: self.value(expr) is not None, expr)

    def _ask(self, what: str, **parameters: str | float) -> Any:
        data = urllib.parse.urlencode(parameters).encode()
        url = f"http://{self._address}/api/v1/{what}"
        with urllib.request.urlopen(url, data, PATIENCE_SECONDS) as answer:
            return json.load(answer)["data"]


@contextmanager
def run_prometheus(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """Run one with this configuration; it keeps its data in the folder."""
    arguments = (f"--storage.tsdb.path={folder / 'data'}", "--enable-feature=exemplar-storage")
    with _run("prometheus", folder, config, *arguments) as address:
        yield Prometheus(address)


@contextmanager
def run_alertmanager(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    """Run one with this configuration; gives its address."""
    arguments = (f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    with _run("alertmanager", folder, config, *arguments) as address:
        yield address


class Receiver:
    """What webhooks have brought: alerts as Alertmanager tells them, by path."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, dict[str, Any]]] = []
        self.address = ""

    def firing(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Path and alert of each that came as firing."""
        return [
            (path, alert)
            for path, alert in list(self.alerts)
            if alert["status"] == "firing" and alert["labels"]["alertname"] == name
        ]


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """An HTTP server that takes webhooks."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.alerts += [(self.path, alert) for alert in body["alerts"]]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _run(name: str, folder: Path, config: dict[str, Any], *arguments: str) -> Iterator[str]:
    address, log, file = _free_address(), folder / f"{name}.log", folder / f"{name}.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = (program(name), f"--config.file={file}", f"--web.listen-address={address}", *arguments)
    with log.open("w") as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        try:
            _wait_until_ready(address, log)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_address() -> str:
    """HOST:PORT that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def _wait_until_ready(address: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
