"""The metrics page over HTTP: one thread for all who ask, whatever they do, and nothing but /metrics.

It has an event loop of its own, so that the page is there when the server's is busy. prometheus_client's own
server starts a thread for each connection, and waits for a silent one for ever.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import math
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger("traghetto.metrics")

EXCHANGE_SECONDS = 10.0  # from a connection to the last byte of its answer
MAX_CONNECTIONS = 64
_MAX_HEAD_BYTES = 16 << 10
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_COMPLAINT_SECONDS = 10.0  # between two that the system gives no connection


class MetricsPage:
    """Serves a registry until it is stopped.

    Args:
        exchange_seconds: How long a client has to ask and to take the answer.

    >>> page = MetricsPage(CollectorRegistry())
    >>> port = page.start("127.0.0.1", 0)
    >>> page.stop()
    """

    def __init__(self, registry: CollectorRegistry, exchange_seconds: float = EXCHANGE_SECONDS) -> None:
        self._registry, self._exchange_seconds = registry, exchange_seconds
        self._num_connections = 0
        self._last_complaint = -math.inf

    def start(self, host: str, port: int) -> int:
        """Listen; returns the port.

        Raises:
            OSError: the address is taken, or is none of this machine's.
        """
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._complain)
        self._thread = threading.Thread(target=self._loop.run_forever, name="metrics", daemon=True)
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._listen(host, port), self._loop).result()
        except OSError:
            self._end_loop()
            raise

    async def _listen(self, host: str, port: int) -> int:
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_HEAD_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def stop(self) -> None:
        """Take no more connections, and end those that are there."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._end_loop()

    async def _close(self) -> None:
        self._server.close()
        exchanges = asyncio.all_tasks() - {asyncio.current_task()}
        for exchange in exchanges:
            exchange.cancel()
        await asyncio.gather(*exchanges, return_exceptions=True)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what went wrong in the loop; that no files are left in a line, however often it is tried again.

        asyncio itself writes a hundred tracebacks a second then.
        """
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            loop.default_exception_handler(context)
        elif loop.time() - self._last_complaint >= _COMPLAINT_SECONDS:
            self._last_complaint = loop.time()
            log.warning("the metrics page takes no connections for now: %s", error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer."""
        self._num_connections += 1
        try:
            if self._num_connections <= MAX_CONNECTIONS:
                async with asyncio.timeout(self._exchange_seconds):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head.decode("latin-1")))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks so is not told why
        except asyncio.CancelledError:
            pass  # by `stop`; asyncio would log a connection whose task is cancelled
        finally:
            self._num_connections -= 1
            writer.transport.abort()

    def _answer(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path != "/metrics":
            return _response(HTTPStatus.NOT_FOUND)
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        fields = {name.strip().lower(): value.strip() for name, _, value in (i.partition(":") for i in lines)}
        encode, content_type = _encoder(fields.get("accept", ""))
        body, headers = encode(self._registry), {"Content-Type": content_type}
        if "gzip" in fields.get("accept-encoding", ""):
            body, headers = gzip.compress(body, compresslevel=1), headers | {"Content-Encoding": "gzip"}
        return _response(HTTPStatus.OK, headers, body, with_body=method == "GET")


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """What writes the page as a client asks for it, and its content type; plain text for nonsense."""
    try:
        return choose_encoder(accept)
    except Exception:  # noqa: BLE001 - prometheus_client raises whatever a version without meaning leads to
        return choose_encoder("")


def _response(
    status: HTTPStatus, headers: Mapping[str, str] | None = None, body: bytes = b"", *, with_body: bool = True
) -> bytes:
    lines = {**(headers or {}), "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {status.phrase}\r\n{head}\r\n".encode() + (body if with_body else b"")
