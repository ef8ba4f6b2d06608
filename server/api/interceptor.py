"""Counts, times and tells of every call, and answers one whose bytes do not parse.

A unary call is served as if it were a stream of messages, which looks the same on the wire: gRPC reads the
message of a unary call itself, and where the client has cancelled by then it says nothing to anybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
from prometheus_client import Counter, Histogram

from server.api.cancel_limit import CancelLimit
from server.api.malformed import MALFORMED, forgiving, forgiving_handler
from server.api.status import abort
from server.errors import DEADLINE_MARGIN_SECONDS, InternalError, MalformedRequest
from server.telemetry.call import REQUEST_ID, Call, begin_call, current_call
from server.telemetry.call_record import count_rejection
from server.telemetry.logs import log_call, log_fault
from server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing  # an extra that may not be there

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True)
class _Series:
    """The metrics of one method; finding one by its labels costs as much as counting."""

    kind: str
    started: Counter
    seconds: Histogram
    handled: dict[grpc.StatusCode, Counter]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """The RPC metrics, under the names of go-grpc-prometheus, and each call's log line and span.

    Streams of gRPC's own services (reflection, health watch), which are open for as long as a client likes,
    are not counted.
    """

    def __init__(self, metrics: Metrics, limit: CancelLimit, tracing: Tracing | None = None) -> None:
        self._metrics, self._limit, self._tracing = metrics, limit, tracing
        # By path, of methods that exist: a client cannot make it grow.
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a method at its first call."""
        path = handler_call_details.method
        if path in self._handlers:
            return self._handlers[path]
        handler = await continuation(handler_call_details)
        if handler is None or _is_uncounted(handler, path):
            return forgiving_handler(handler)
        if handler.request_streaming:
            kind, behaviour = "bidi_stream", _of_stream(handler.stream_stream)
            make = grpc.stream_stream_rpc_method_handler
        else:
            kind, behaviour = "unary", handler.unary_unary
            make = grpc.stream_unary_rpc_method_handler
        self._handlers[path] = wrapped = make(
            self._wrap(behaviour, path, kind),
            request_deserializer=forgiving(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _wrap(self, behaviour: Behaviour, path: str, kind: str) -> Behaviour:
        _, service, method = path.split("/")
        series = self._series_of(kind, service, method)

        async def wrapped(requests: Any, context: Context) -> Any:
            del requests  # the context reads faster
            request = await self._read(context)
            series.started.inc()
            call = begin_call(service, method, context.invocation_metadata())
            context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
            call.is_stream = kind != "unary"
            current_call.set(call)
            code = grpc.StatusCode.UNKNOWN
            try:
                if request is MALFORMED or request is grpc.aio.EOF:
                    fault = "the message does not parse" if request is MALFORMED else "there is no message"
                    malformed = MalformedRequest(fault)
                    count_rejection(self._metrics, malformed)
                    await abort(context, malformed)
                response = await behaviour(request, context)
                code = grpc.StatusCode.OK
                return response  # noqa: TRY300 - an else block would stand far from its try
            except asyncio.CancelledError:
                code = self._count_end(context)
                raise
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            except grpc.aio.BaseError as error:  # gRPC has ended the call before our answer
                is_gone = call.is_stream and not isinstance(error, grpc.aio.UsageError)
                if not (is_gone or _is_late(context)):
                    raise
                code = self._count_end(context)
                raise asyncio.CancelledError from error
            except Exception as error:  # noqa: BLE001 - gRPC would log it and answer with its message
                code = grpc.StatusCode.INTERNAL
                log_fault(call, error)
                await abort(context, InternalError("a fault of the server; its log tells more"))
            finally:
                self._tell(call, series, code)
                if code is not grpc.StatusCode.CANCELLED:
                    self._limit.answered(context.peer())

        return wrapped

    async def _read(self, context: Context) -> Any:
        """The message of a call."""
        try:
            return await context.read()
        except asyncio.CancelledError:
            self._metrics.abandoned_calls.inc()
            self._count_end(context)
            raise

    def _count_end(self, context: Context) -> grpc.StatusCode:
        """How a call ended that gRPC cancelled; only a client's own doing is held against it."""
        if _is_late(context):
            return grpc.StatusCode.DEADLINE_EXCEEDED
        self._limit.cancelled(context.peer())
        return grpc.StatusCode.CANCELLED

    def _series_of(self, kind: str, service: str, method: str) -> _Series:
        metrics, labels = self._metrics, (kind, service, method)
        return _Series(
            kind=kind,
            started=metrics.rpc_started.labels(*labels),
            seconds=metrics.rpc_seconds.labels(*labels),
            handled={},
        )

    def _tell(self, call: Call, series: _Series, code: grpc.StatusCode) -> None:
        ended = time.monotonic()
        trace_id = self._trace(call, code, ended)
        if code not in series.handled:
            series.handled[code] = self._metrics.rpc_handled.labels(
                series.kind, call.service, call.method, code.name
            )
        series.handled[code].inc()
        series.seconds.observe(ended - call.started, {"trace_id": trace_id} if trace_id else None)
        log_call(call, code.name, ended, trace_id)

    def _trace(self, call: Call, code: grpc.StatusCode, ended: float) -> str | None:
        """The id of a trace that somebody keeps: ours, or the caller's alone."""
        if self._tracing is not None and not call.is_probe:
            return self._tracing.record(call, code.name, ended)
        return call.parent.trace_id if call.parent and call.parent.is_sampled else None


def _is_uncounted(handler: grpc.RpcMethodHandler[Any, Any], path: str) -> bool:
    if handler.request_streaming and handler.response_streaming:
        return path.startswith("/grpc.")
    return bool(handler.request_streaming or handler.response_streaming)


def _of_stream(behaviour: Callable[[AsyncIterator[Any], Context], Awaitable[None]]) -> Behaviour:
    """A method of many messages as one of its first, which the others follow."""

    async def with_first(first: Any, context: Context) -> None:
        await behaviour(_messages(first, context), context)

    return with_first


async def _messages(first: Any, context: Context) -> AsyncIterator[Any]:
    message = first
    while message is not grpc.aio.EOF:
        if message is MALFORMED:
            raise MalformedRequest("a message does not parse")
        yield message
        message = await context.read()


def _is_late(context: Context) -> bool:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return remaining is not None and remaining <= DEADLINE_MARGIN_SECONDS


def _code(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    return next((c for c in grpc.StatusCode if code in (c, c.value[0])), grpc.StatusCode.UNKNOWN)
