"""Bytes that are no message: INVALID_ARGUMENT, for every method of every listener, streams too.

gRPC itself would answer UNKNOWN, with the words of a Python exception, and log a traceback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from server.api.status import abort
from server.errors import MalformedRequest

MALFORMED = object()
Context = grpc.aio.ServicerContext[Any, Any]
Stream = Callable[[Any, Context], AsyncIterator[Any]]


class MalformedInterceptor(grpc.aio.ServerInterceptor):
    """For listeners whose calls are not counted."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a method."""
        return forgiving_handler(await continuation(handler_call_details))


def forgiving_handler(handler: Any) -> Any:
    """A handler that answers bytes which do not parse; None, of a method that is not there, stays None.

    The methods that there are take one message, or answer a stream with a stream.
    """
    if handler is None:
        return None
    deserialize, serialize = forgiving(handler.request_deserializer), handler.response_serializer
    if handler.request_streaming and handler.response_streaming:
        behaviour = _of_stream(handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(behaviour, deserialize, serialize)
    if handler.response_streaming:
        behaviour = _to_stream(handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(behaviour, deserialize, serialize)
    assert not handler.request_streaming, "no method takes a stream and answers with one message"
    return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary), deserialize, serialize)


def forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Bytes that do not parse become MALFORMED."""

    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 - protobuf raises DecodeError, and others by implementation
            return MALFORMED

    return parse


async def _refuse(context: Context) -> None:
    await abort(context, MalformedRequest("the message does not parse"))


def _unary(behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    async def wrapped(request: Any, context: Context) -> Any:
        if request is MALFORMED:
            await _refuse(context)
        return await behaviour(request, context)

    return wrapped


def _to_stream(behaviour: Callable[[Any, Context], Any]) -> Any:
    async def wrapped(request: Any, context: Context) -> Any:
        if request is MALFORMED:
            await _refuse(context)
        answers = behaviour(request, context)
        if hasattr(answers, "__aiter__"):
            async for answer in answers:
                await context.write(answer)
        else:
            await answers  # it writes to the context itself

    return wrapped


def _of_stream(behaviour: Stream) -> Stream:
    async def checked(requests: Any, context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            if request is MALFORMED:
                await _refuse(context)
            yield request

    async def wrapped(requests: Any, context: Context) -> AsyncIterator[Any]:
        async for answer in behaviour(checked(requests, context), context):
            yield answer

    return wrapped
