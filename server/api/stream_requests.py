"""The messages of a TranslateStream: its configuration, and those behind it until the server drains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from server.errors import Draining, InvalidRequest, Violation
from traghetto.pb.translation.v1 import translation_pb2 as pb


def config_of(message: pb.TranslateStreamRequest) -> pb.TranslateRequest:
    """The configuration in the first message, with the priority that it means.

    Raises:
        InvalidRequest: there is none, or it has what is none.
    """
    if not message.HasField("config"):
        raise InvalidRequest([Violation("config", "is missing, must be in the first message")])
    config = pb.TranslateRequest()
    config.CopyFrom(message.config)
    faults = []
    if config.texts:
        faults.append(Violation("config.texts", f"has {len(config.texts)} texts, must have none"))
    if (count := len(config.target_prefixes)) > 1:
        faults.append(Violation("config.target_prefixes", f"has {count} prefixes, must have at most 1"))
    if faults:
        raise InvalidRequest(faults)
    config.priority = config.priority or pb.PRIORITY_BULK
    return config


def with_texts(config: pb.TranslateRequest, texts: Sequence[str]) -> pb.TranslateRequest:
    """Texts of the call as a call of their own."""
    request = pb.TranslateRequest()
    request.CopyFrom(config)
    request.texts.extend(texts)
    return request


async def until_draining(
    first: pb.TranslateStreamRequest,
    others: AsyncIterator[pb.TranslateStreamRequest],
    draining: asyncio.Event,
) -> AsyncIterator[pb.TranslateStreamRequest]:
    """All messages of a call, as far as they come before the server drains.

    Raises:
        InvalidRequest: one behind the first has a configuration.
    """
    yield first
    stopping = asyncio.ensure_future(draining.wait())
    try:
        while (message := await _next(others, stopping)) is not None:
            if message.HasField("config"):
                raise InvalidRequest([Violation("config", "is in a message that is not the first")])
            yield message
    finally:
        stopping.cancel()


def require_not_draining(draining: asyncio.Event) -> None:
    """End a call whose texts are all answered, but not all read.

    Raises:
        Draining: the server stops.
    """
    if draining.is_set():
        raise Draining


async def _next(
    messages: AsyncIterator[pb.TranslateStreamRequest], stopping: asyncio.Future[Any]
) -> pb.TranslateStreamRequest | None:
    """The next message; None if there is none, or the server drains first.

    A read that nobody waits for any more is not cancelled: gRPC would go on writing into what it left.
    """
    if stopping.done():
        return None
    reading = asyncio.ensure_future(anext(messages, None))
    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        return reading.result()
    reading.add_done_callback(lambda read: read.cancelled() or read.exception())
    return None
