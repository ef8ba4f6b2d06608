"""A TCP proxy that harms what it carries: it delays, throttles, corrupts, stalls, cuts and half-closes."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

_PIECE_BYTES = 4096
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closed with RST, whatever is still on its way


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What happens to the bytes that go one way through a connection.

    Args:
        delay_seconds: Before each piece of up to 4 KiB goes on.
        bytes_per_second: Pace of those that go on; None for their own.
        after_bytes: How many go on before `then`.
        then: The end of it, if any: "cut" resets both sides, "close" ends this way alone as a peer does that
            has nothing more to say, "stall" passes nothing on from here, "corrupt" flips a bit in every
            hundredth byte or so.
        seed: Of what is random.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    after_bytes: int = 0
    then: Literal["cut", "close", "stall", "corrupt"] | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Harms:
    """What happens to a connection, each way."""

    request: Harm = field(default_factory=Harm)
    response: Harm = field(default_factory=Harm)


class FaultyProxy:
    """Carries connections to a server; for as many as are in `coming` it does harm, first come first harmed.

    Args:
        target: HOST:PORT of the server.

    Attributes:
        address: HOST:PORT that clients connect to.
        coming: For the connections that come next; those after them are carried faithfully.
        num_connections: That came so far.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.address = ""
        self.coming: deque[Harms] = deque()
        self.num_connections = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._sides: list[asyncio.StreamWriter] = []  # all that were ever open

    async def serve(self, is_open: threading.Event, closing: asyncio.Event) -> None:
        """Carry connections until the end."""
        server = await asyncio.start_server(self._keep, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        is_open.set()
        async with server:
            await closing.wait()
            for listener in server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await asyncio.sleep(0.05)  # those that were accepted a moment ago get to `_keep` first
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            for side in self._sides:
                side.transport.abort()
            await asyncio.sleep(0)  # they close in the loop's next round

    def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sides.append(writer)
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        harms = self.coming.popleft() if self.coming else Harms()
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        self._sides.append(to_server)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pass_on(reader, to_server, harms.request))
                ways.create_task(_pass_on(from_server, writer, harms.response))
        except* OSError:  # cut, by us or by one of the two
            _reset(writer)
            _reset(to_server)
        else:
            writer.close()
            to_server.close()


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """A proxy to a server, in a thread of its own."""
    proxy, is_open = FaultyProxy(target), threading.Event()
    loop, closing = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(is_open, closing),))
    thread.start()
    try:
        is_open.wait()
        yield proxy
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()
        loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, harm: Harm) -> None:
    """Carry one way until its end.

    Raises:
        ConnectionError: a side is gone, or the connection is to be cut.
    """
    chance = random.Random(harm.seed)
    num_left = harm.after_bytes if harm.then is not None else None  # before that
    while piece := await reader.read(_PIECE_BYTES):
        await asyncio.sleep(harm.delay_seconds)
        if num_left is not None:
            whole, rest = piece[:num_left], piece[num_left:]
            num_left -= len(whole)
            piece = whole + _corrupted(rest, chance) if harm.then == "corrupt" else whole
        writer.write(piece)
        await writer.drain()
        if harm.bytes_per_second is not None:
            await asyncio.sleep(len(piece) / harm.bytes_per_second)
        if num_left == 0 and harm.then == "cut":
            raise ConnectionResetError
        if num_left == 0 and harm.then == "stall":
            await asyncio.Event().wait()
        if num_left == 0 and harm.then == "close":
            break
    with suppress(OSError):
        writer.write_eof()


def _corrupted(piece: bytes, chance: random.Random) -> bytes:
    """With a bit flipped in one of its bytes at least, if there is any."""
    changed = bytearray(piece)
    for _ in range(-(-len(piece) // 100)):
        changed[chance.randrange(len(piece))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        plain: socket.socket = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
