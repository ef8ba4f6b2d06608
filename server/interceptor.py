"""Counts and times every unary call, and answers one whose bytes do not parse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc

from server.errors import DEADLINE_MARGIN_SECONDS, MalformedRequest, abort
from server.metrics import Metrics

Behaviour = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]

_MALFORMED = object()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """The RPC metrics, under the names of go-grpc-prometheus.

    Streams (reflection, health watch) are not counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler
        _, service, method = handler_call_details.method.split("/")
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(handler.unary_unary, ("unary", service, method)),
            request_deserializer=_forgiving(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _wrap(self, behaviour: Behaviour, labels: tuple[str, str, str]) -> Behaviour:
        started_total = self._metrics.rpc_started.labels(*labels)
        seconds = self._metrics.rpc_seconds.labels(*labels)

        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started_total.inc()
            started = time.monotonic()
            code = grpc.StatusCode.UNKNOWN
            try:
                if request is _MALFORMED:
                    self._metrics.rejected["invalid"].inc()
                    await abort(context, MalformedRequest("the message does not parse"))
                response = await behaviour(request, context)
                code = grpc.StatusCode.OK
                return response  # noqa: TRY300 - an else block would stand far from its try
            except asyncio.CancelledError:
                code = grpc.StatusCode.DEADLINE_EXCEEDED if _is_late(context) else grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            except grpc.aio.BaseError as error:  # gRPC has ended the call before our answer
                if not _is_late(context):
                    raise
                code = grpc.StatusCode.DEADLINE_EXCEEDED
                raise asyncio.CancelledError from error
            finally:
                self._metrics.rpc_handled.labels(*labels, code.name).inc()
                seconds.observe(time.monotonic() - started)

        return wrapped


def _is_late(context: grpc.aio.ServicerContext[Any, Any]) -> bool:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return remaining is not None and remaining <= DEADLINE_MARGIN_SECONDS


def _code(context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    code: Any = context.code()
    return next((c for c in grpc.StatusCode if code in (c, c.value[0])), grpc.StatusCode.UNKNOWN)


def _forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Bytes that do not parse become _MALFORMED: gRPC itself would answer UNKNOWN."""

    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 - protobuf raises DecodeError, and others by implementation
            return _MALFORMED

    return parse
