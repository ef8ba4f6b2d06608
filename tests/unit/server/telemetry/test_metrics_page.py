"""The metrics page: what it answers, and that nobody who holds it up costs it more than a connection."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import CollectorRegistry, Counter

from server.telemetry.metrics_page import MAX_CONNECTIONS, MetricsPage

PATIENCE_SECONDS = 60.0
StartPage = Callable[..., int]


@pytest.fixture
def start_page() -> Iterator[StartPage]:
    """Serve a registry with one counter; gives the port."""
    registry = CollectorRegistry()
    Counter("ferries", "Ferries.", registry=registry).inc(3)
    with ExitStack() as stack:

        def start(**how: float) -> int:
            page = MetricsPage(registry, **how)
            port = page.start("127.0.0.1", 0)
            stack.callback(page.stop)
            return port

        yield start


def fetch(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    """Status, type of content, and content."""
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - our own
            return page.status, page.headers["Content-Type"], page.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.read()


def test_the_page_is_there_in_each_of_its_forms(start_page: StartPage) -> None:
    port = start_page()
    status, kind, text = fetch(port)
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert b"ferries_total 3.0\n" in text
    assert fetch(port, "/metrics?name=x")[2] == text
    assert fetch(port, method="HEAD") == (200, kind, b"")
    _, open_metrics, content = fetch(port, Accept="application/openmetrics-text; version=1.0.0")
    assert open_metrics.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    assert fetch(port, Accept="application/openmetrics-text; version=abc")[2] == text
    assert gzip.decompress(fetch(port, **{"Accept-Encoding": "gzip"})[2]) == text


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/metrics", "POST", 405)])
def test_nothing_else_is_there(start_page: StartPage, path: str, method: str, status: int) -> None:
    assert fetch(start_page(), path, method)[0] == status


def test_those_who_say_nothing_cost_no_thread_and_are_sent_away(start_page: StartPage) -> None:
    port = start_page(exchange_seconds=2.0)
    before = threading.active_count()
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
            for _ in range(MAX_CONNECTIONS - 1)
        ]
        assert fetch(port)[0] == 200
        assert threading.active_count() == before
        silent[0].sendall(b"GET /metrics HTTP/1.1\r\n")  # and no more
        for connection in silent:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_too_many_at_once_are_sent_away_and_those_after_them_served(start_page: StartPage) -> None:
    port = start_page()
    with ExitStack() as stack:
        several = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
            for _ in range(MAX_CONNECTIONS + 1)
        ]
        with suppress(ConnectionResetError):
            assert several[-1].recv(1) == b""
    while True:  # those that have gone are noticed soon
        try:
            assert fetch(port)[0] == 200
        except OSError:
            continue
        break


def test_a_head_without_end_is_not_read_to_its_end(start_page: StartPage) -> None:
    connection = socket.create_connection(("127.0.0.1", start_page()), PATIENCE_SECONDS)
    with connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        connection.sendall(b"x" * (64 << 20))


def test_that_no_files_are_left_is_said_in_a_line_and_seldom(caplog: pytest.LogCaptureFixture) -> None:
    page, loop = MetricsPage(CollectorRegistry()), asyncio.new_event_loop()
    no_files = OSError(errno.EMFILE, "Too many open files")
    for _ in range(100):
        page._complain(loop, {"message": "socket.accept() out of system resource", "exception": no_files})
    (record,) = caplog.records
    assert (record.exc_info, "Too many open files" in record.message) == (None, True)
    page._complain(loop, {"message": "a fault of our own", "exception": ValueError()})
    assert caplog.records[-1].exc_info, "asyncio tells of that as ever"
    loop.close()
