"""One HTTP exchange: its body read whole within limits, its work ended when the client is gone.

The middleware outside of all others. A handler finds its body in memory and needs not watch the connection:
its task is cancelled, and with it the call that it makes to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.gateway.errors import RequestRefused

Refuse = Callable[[Request, RequestRefused], Response]
# Of a body that is refused, read and thrown away: many clients read no answer before they have sent all, and
# lose it to the reset of a connection that is closed before.
_DISCARD_SECONDS = 5.0
_DISCARD_BYTES = 64 << 20


class BodyLimit(RequestRefused):
    """A body of more bytes than the limit.

    Attributes:
        is_read: Whether it was read to its end.
    """

    def __init__(self, limit: int, *, is_read: bool = False) -> None:
        super().__init__(413, f"the body has more than {limit} bytes, the limit")
        self.is_read = is_read


class Exchange:
    """Reads the body, runs the application, and cancels it when the client closes the connection.

    Args:
        app: What answers.
        refuse: Makes the answer where the body is refused.
        max_body_bytes: Of the body, as it comes.
        body_seconds: How long the body may take to arrive.
    """

    def __init__(self, app: ASGIApp, *, refuse: Refuse, max_body_bytes: int, body_seconds: float) -> None:
        self._app, self._refuse = app, refuse
        self._max_body_bytes, self._body_seconds = max_body_bytes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an exchange; what is no HTTP goes on as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            error = RequestRefused(408, f"the body took more than {self._body_seconds:g} s, the limit")
            await self._refused(error, scope, receive, send)
        except BodyLimit as error:
            waits = (b"expect", b"100-continue") in scope["headers"]  # the client, with its body
            if not (error.is_read or waits):
                await _discard(receive)
            await self._refused(error, scope, receive, send)
        else:
            if body is not None:
                await _while_connected(self._app(scope, _Body(body), send), receive)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None if the client left before it was there.

        Raises:
            BodyLimit: it is larger than allowed, by its own length or as it came.
        """
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            raise BodyLimit(self._max_body_bytes)
        chunks, num_bytes = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            num_bytes += len(chunks[-1])
            if num_bytes > self._max_body_bytes:
                raise BodyLimit(self._max_body_bytes, is_read=not message.get("more_body", False))
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def _refused(self, error: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and close the connection: some of the body may be left."""
        response = self._refuse(Request(scope), error)
        response.headers["connection"] = "close"
        await response(scope, receive, send)


async def _discard(receive: Receive) -> None:
    """Read the rest of a body, within limits."""
    num_left = _DISCARD_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while num_left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                num_left -= len(message.get("body", b""))


class _Body:
    """What a handler receives: the body once, then nothing, for as long as it asks."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}


async def _while_connected(work: Awaitable[None], receive: Receive) -> None:
    """Work until it is done or the client is gone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())  # after the body nothing comes but the end of the connection
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if not working.cancelled() and (error := working.exception()) is not None:
        raise error
