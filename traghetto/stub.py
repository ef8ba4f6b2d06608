"""The methods of a channel, for both clients: an answer that does not parse is a `Failure`.

gRPC itself would log a traceback, and end the call as INTERNAL in plain Python and with None in asyncio.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from traghetto.failures import Failure
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

_UNREADABLE = Failure(
    code=grpc.StatusCode.INTERNAL,
    message="the answer does not parse: it was damaged on its way, or is another's",
)


def stub_of(channel: grpc.Channel | grpc.aio.Channel) -> Any:  # of the one channel, or of the other
    """What calls a server's methods; each returns its answer, or a `Failure` where that is no message."""
    forgiving: Any = _Forgiving(channel)
    return pb_grpc.TranslationServiceStub(forgiving)


class _Forgiving:
    """What the generated stub needs of a channel."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, path: str, response_deserializer: Callable[[bytes], Any], **fields: Any) -> Any:
        """A method of one message in and one out."""
        read = _forgiving(response_deserializer)
        return self._channel.unary_unary(path, response_deserializer=read, **fields)

    def stream_stream(self, path: str, response_deserializer: Callable[[bytes], Any], **fields: Any) -> Any:
        """A method of many messages in and many out."""
        read = _forgiving(response_deserializer)
        return self._channel.stream_stream(path, response_deserializer=read, **fields)


def _forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except Exception:  # noqa: BLE001 - protobuf raises DecodeError, and others by implementation
            return _UNREADABLE

    return read
