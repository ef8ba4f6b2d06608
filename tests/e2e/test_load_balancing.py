"""Several servers behind one address, and calls that go on while servers come and go.

Shown here, with real servers and a real nginx: calls of one connection reach all servers, through nginx as
well as by the Python client's own round robin; while each server in turn is drained by SIGTERM and started
again on its port, under steady load, no call is lost, and a server that came back is asked again. Meanwhile
connections are ended every half second by their age. Not shown: a name that comes to stand for other
addresses while a client runs, as in a cluster.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.programs import program
from tests.running_server import RunningServer, StartServer, free_port
from traghetto import CallError, Client, Translation

PATIENCE_SECONDS = 120.0
ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "export/artifacts/en-it-lstm"
NGINX_CONFIG = ROOT / "deploy/nginx/nginx.conf"
FLAGS = ("--slots=2", "--max-connection-age-seconds=0.5", f"--drain-seconds={PATIENCE_SECONDS}")
HANDLED = (
    'grpc_server_handled_total{grpc_code="OK",grpc_method="Translate",'
    'grpc_service="translation.v1.TranslationService",grpc_type="unary"}'
)
CALLERS = 3


class Fleet:
    """Two servers, each on a port that it keeps."""

    def __init__(self, start_server: StartServer, stack: ExitStack) -> None:
        self.addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self._start, self._stack = start_server, stack
        self.servers = [self._run(address) for address in self.addresses]

    def restart(self, index: int) -> RunningServer:
        """SIGTERM, wait for the end of the drain, start anew."""
        assert self.servers[index].terminate() == 0
        self.servers[index] = self._run(self.addresses[index])
        return self.servers[index]

    def handled(self) -> list[float]:
        """Calls that each server has answered well."""
        return [server.settled().get(HANDLED, 0.0) for server in self.servers]

    def _run(self, address: str) -> RunningServer:
        return self._stack.enter_context(self._start(ARTIFACT, f"--listen={address}", *FLAGS))


@pytest.fixture
def fleet(start_server: StartServer) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(start_server, stack)


@pytest.fixture
def nginx(fleet: Fleet, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx in front of both servers."""
    address = f"127.0.0.1:{free_port()}"
    config = NGINX_CONFIG.read_text()
    places = zip(range(50050, 50053), (address, *fleet.addresses), strict=True)
    for port, place in places:
        assert config.count(f" 127.0.0.1:{port} ") == 1
        config = config.replace(f" 127.0.0.1:{port} ", f" {place} ")
    (tmp_path / "nginx.conf").write_text(config)
    (tmp_path / "temp").mkdir()
    command = [program("nginx"), "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    with (
        (tmp_path / "log").open("w") as log,
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(command, stdout=log, stderr=errors) as process,
    ):
        try:
            wait_for_port(address, process, tmp_path / "errors")
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def wait_for_port(address: str, process: subprocess.Popen[bytes], errors: Path) -> None:
    host, port = address.split(":")
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert process.poll() is None, errors.read_text()
        try:
            with socket.create_connection((host, int(port)), PATIENCE_SECONDS):
                return
        except ConnectionRefusedError:
            assert time.monotonic() < until, errors.read_text()
            time.sleep(0.01)


def translate(client: Client) -> None:
    (result,) = client.translate(["The cat is on the table."], "en", "it", beam_size=1)
    assert isinstance(result, Translation)
    assert result.text


@contextmanager
def steady_calls(address: str) -> Iterator[Callable[[], int]]:
    """One client that several threads use all the time; gives the calls so far, and fails if one failed."""
    is_over, num_done = threading.Event(), [0] * CALLERS

    def call(client: Client, caller: int) -> None:
        while not is_over.is_set():
            translate(client)
            num_done[caller] += 1

    futures: list[Future[None]] = []
    with Client(address, PATIENCE_SECONDS) as client, ThreadPoolExecutor(CALLERS) as pool:
        try:
            futures += [pool.submit(call, client, caller) for caller in range(CALLERS)]
            yield lambda: sum(num_done)
        finally:
            is_over.set()
        for future in futures:
            future.result(PATIENCE_SECONDS)


def both(fleet: Fleet) -> str:
    return "ipv4:" + ",".join(fleet.addresses)


def restart_each_under_load(fleet: Fleet, address: str) -> int:
    """Restart both servers, one after the other; gives how many calls were made meanwhile, none in vain."""
    with steady_calls(address) as count:
        for server in fleet.servers:
            server.wait_until(lambda page: page.get(HANDLED, 0) > 10)
        for index in range(2):
            renewed = fleet.restart(index)
            renewed.wait_until(lambda page: page.get(HANDLED, 0) > 10)
        return count()


def test_calls_of_one_connection_through_nginx_reach_both_servers(
    fleet: Fleet, nginx: str, tmp_path: Path
) -> None:
    with Client(nginx, PATIENCE_SECONDS) as client:
        for _ in range(20):
            translate(client)
    assert sorted(fleet.handled()) == [10, 10]
    calls = [
        dict(word.split("=", 1) for word in line.split())
        for line in (tmp_path / "log").read_text().splitlines()
    ]
    assert len(calls) == 20
    assert len({call["connection"] for call in calls}) == 1
    assert {call["upstream"] for call in calls} == set(fleet.addresses)


def test_without_a_server_nginx_says_so_in_words_of_grpc(fleet: Fleet, nginx: str) -> None:
    """Not with a page that a client would take for an answer, and not try again."""
    for server in fleet.servers:
        assert server.terminate() == 0
    with (
        Client(nginx, PATIENCE_SECONDS) as client,
        pytest.raises(CallError, match="UNAVAILABLE: no server took the call"),
    ):
        translate(client)


def test_a_client_takes_the_servers_of_an_address_in_turn(fleet: Fleet) -> None:
    with steady_calls(both(fleet)):
        for server in fleet.servers:
            server.wait_until(lambda page: page.get(HANDLED, 0) > 10)


def test_no_call_of_a_client_is_lost_while_servers_are_restarted(fleet: Fleet) -> None:
    assert restart_each_under_load(fleet, both(fleet)) > 40


def test_no_call_through_nginx_is_lost_while_servers_are_restarted(fleet: Fleet, nginx: str) -> None:
    assert restart_each_under_load(fleet, nginx) > 40
