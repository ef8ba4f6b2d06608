"""The gateway as a process: listens, says where, serves until it is told to stop, and lets requests end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn

from server.addresses import split_address
from server.gateway.app import make_app
from server.gateway.config import GatewayConfig
from server.gateway.metrics import GatewayMetrics
from server.gateway.upstream import Upstream
from server.telemetry.metrics_page import MetricsPage

log = logging.getLogger("traghetto.gateway")
_BACKLOG = 2048
_IDLE_SECONDS = 75  # of a connection; longer than proxies keep theirs, which would meet a closed one
_LOOK_SECONDS = 0.5  # between two looks for the parent
_STOPS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Says where it listens once it does, and ends with status 0 where it was told to stop."""

    def __init__(self, config: uvicorn.Config, ready: str, parent: int | None) -> None:
        super().__init__(config)
        self._ready, self._parent = ready, parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, flush=True)  # what starts it waits for this line

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own ends the process by the signal itself, once it is done."""
        for number in _STOPS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        watching = asyncio.ensure_future(self._stop_with_parent())
        yield
        watching.cancel()

    async def _stop_with_parent(self) -> None:
        """Whoever started it may have been killed: then nobody tells."""
        while self._parent is not None and not self.should_exit:
            if os.getppid() != self._parent:
                self._stop()
            await asyncio.sleep(_LOOK_SECONDS)

    def _stop(self) -> None:
        """Take no more, let what runs end; whoever asks a second time does not want to wait."""
        self.should_exit = True
        for number in _STOPS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


async def serve(config: GatewayConfig) -> None:
    """Serve until SIGTERM or SIGINT; running requests have `drain_seconds` then, a second signal ends now.

    Raises:
        OSError: the address cannot be had.
        TlsError: the files of TLS cannot serve.
    """
    upstream, metrics = Upstream(config), GatewayMetrics()
    page, metrics_place = _start_metrics(config, metrics)
    listening = _listen(config.listen)
    host, port = listening.getsockname()[:2]
    place = _place(host, port)
    settings = uvicorn.Config(
        make_app(config, upstream, metrics),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
    )
    ready = f"traghetto-gateway ready: http={place} metrics={metrics_place} server={config.server}"
    server = _Server(settings, ready, config.stop_with)
    try:
        await server.serve(sockets=[listening])
    finally:
        if page is not None:
            page.stop()


def _start_metrics(config: GatewayConfig, metrics: GatewayMetrics) -> tuple[MetricsPage | None, str]:
    if config.metrics_listen is None:
        return None, "none"
    host, port = split_address(config.metrics_listen)
    page = MetricsPage(metrics.registry)
    try:
        bound = page.start(host, port)
    except OSError as error:
        raise OSError(error.errno, f"--metrics-listen {config.metrics_listen}: {error.strerror}") from error
    return page, f"http://{_place(host, bound)}/metrics"


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"--listen {address}: {error.strerror}") from error
    # Accepted connections take it over. asyncio sets it only for sockets that name their protocol, and
    # without it each answer's body waits 40 ms for the client to confirm its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
