"""The gateway as a process: listens, says where, serves until it is told to stop, and lets requests end."""

from __future__ import annotations

import asyncio
import logging
import socket

import uvicorn

from server.addresses import split_address
from server.gateway.app import make_app
from server.gateway.config import GatewayConfig
from server.gateway.upstream import Upstream

log = logging.getLogger("traghetto.gateway")
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, flush=True)  # what starts it waits for this line


async def serve(config: GatewayConfig) -> None:
    """Serve until SIGTERM or SIGINT; running requests have `drain_seconds` then, a second signal ends now.

    Raises:
        OSError: the address cannot be had.
        TlsError: the files of TLS cannot serve.
    """
    upstream = Upstream(config)
    listening = _listen(config.listen)
    host, port = listening.getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    settings = uvicorn.Config(
        make_app(config, upstream),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
    )
    server = _Server(settings, f"traghetto-gateway ready: http={place} server={config.server}")
    await asyncio.ensure_future(server.serve(sockets=[listening]))


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"--listen {address}: {error.strerror}") from error
