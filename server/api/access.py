"""Lets calls in by the access file: who they are from, what they may, and how much.

A call that is refused here is refused before its texts are looked at, and before anybody else's wait for it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from server.access.access import Access
from server.access.admission import current_admission
from server.access.quotas import Admission
from server.access.tenant import Tenant
from server.api.malformed import MALFORMED
from server.api.status import abort
from server.api.visible import hide
from server.errors import PermissionDenied, QuotaExceeded, RequestError
from server.telemetry.call import current_call
from server.telemetry.call_record import count_rejection
from server.telemetry.metrics import Metrics
from server.work.fair_order import Priority
from traghetto.pb.translation.v1 import translation_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_ADMIN = "/admin.v1.AdminService/"
_HEALTH = "/grpc.health.v1.Health/"
_MODEL = "model/"  # how health calls a model
_QUOTED = "/translation.v1.TranslationService/"  # what counts against quotas
# A call that ends so was not translated: its tokens are given back.
_UNTOUCHED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
# Of a client's certificate, as gRPC calls them.
_CERTIFICATE_NAMES = {"x509_common_name": "cn:", "peer_dns": "dns:", "peer_uri": "uri:"}


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of a listener; it comes behind the one that counts calls."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        self._access, self._metrics = access, metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a method; None, of a method that is not there, stays None."""
        handler, path = await continuation(handler_call_details), handler_call_details.method
        if handler is None:
            return None
        coders = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming:
            assert handler.response_streaming, "no method takes a stream and answers with one message"
            return grpc.stream_stream_rpc_method_handler(
                self._of_stream(handler.stream_stream, path), *coders
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._to_stream(handler.unary_stream, path), *coders)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, path), *coders)

    def _unary(self, behaviour: Callable[[Any, Context], Awaitable[Any]], path: str) -> Any:
        async def wrapped(request: Any, context: Context) -> Any:
            with self._admitted(await self._let_in(path, request, context), context) as admission:
                response = await behaviour(request, context)
                return response if admission is None else hide(response, admission.tenant)

        return wrapped

    def _to_stream(self, behaviour: Callable[[Any, Context], Any], path: str) -> Any:
        async def wrapped(request: Any, context: Context) -> None:
            with self._admitted(await self._let_in(path, request, context), context):
                answers = behaviour(request, context)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        await context.write(answer)
                else:
                    await answers  # it writes to the context itself

        return wrapped

    def _of_stream(self, behaviour: Callable[[Any, Context], Any], path: str) -> Any:
        async def yielding(requests: Any, context: Context) -> AsyncIterator[Any]:
            with self._admitted(await self._let_in(path, None, context), context):
                async for answer in behaviour(requests, context):
                    yield answer

        async def writing(requests: Any, context: Context) -> None:
            with self._admitted(await self._let_in(path, None, context), context):
                await behaviour(requests, context)

        return yielding if inspect.isasyncgenfunction(behaviour) else writing

    async def _let_in(self, path: str, request: Any, context: Context) -> Admission | None:
        """What a call may; None of one that needs nothing. A call that may not is ended."""
        if request is MALFORMED or _is_open(path, request):
            return None
        try:
            tenant = self._access.tenant_of(_authorization(context), _certificate_names(context))
            if (call := current_call.get(None)) is not None:
                call.tenant = tenant.name
            return self._admission(path, request, tenant)
        except RequestError as error:
            count_rejection(self._metrics, error)
            await abort(context, error)

    def _admission(self, path: str, request: Any, tenant: Tenant) -> Admission:
        """A call's share of its tenant's quotas.

        Raises:
            PermissionDenied: the tenant may not do that.
            QuotaExceeded: it has done too much of late.
        """
        if path.startswith(_ADMIN) and not tenant.is_admin:
            raise PermissionDenied(tenant.name, "call the admin service")
        if path.startswith(_HEALTH):
            _require_visible(request, tenant)
        admission = self._access.ledger.open(tenant)
        if path.startswith(_QUOTED):
            self._metrics.tenant_calls.labels(tenant.name).inc()
            require_priority(request, tenant)
            admission.hold(len(getattr(request, "texts", ())))
            try:
                admission.count_request()
            except QuotaExceeded:
                admission.leave()
                raise
        return admission

    @contextmanager
    def _admitted(self, admission: Admission | None, context: Context) -> Iterator[Admission | None]:
        token = current_admission.set(admission)
        try:
            yield admission
        except grpc.aio.AbortError:
            if admission is not None and _has_code(context, _UNTOUCHED):
                admission.refund()
            raise
        finally:
            current_admission.reset(token)
            if admission is not None:
                self._metrics.tenant_tokens.labels(admission.tenant.name).inc(admission.num_tokens)
                admission.leave()


def require_priority(request: Any, tenant: Tenant) -> None:
    """Let a call have no higher priority than its tenant; one that names none has the highest that it may.

    Raises:
        PermissionDenied: it asks for a higher one.
    """
    if tenant.priority is Priority.INTERACTIVE or not hasattr(request, "priority"):
        return
    if request.priority == pb.PRIORITY_INTERACTIVE:
        raise PermissionDenied(tenant.name, "make interactive calls: leave priority out, or ask for bulk")
    if request.priority == pb.PRIORITY_UNSPECIFIED:
        request.priority = pb.PRIORITY_BULK


def _require_visible(request: Any, tenant: Tenant) -> None:
    name = getattr(request, "service", "")
    if name.startswith(_MODEL) and not tenant.may_use(name.removeprefix(_MODEL)):
        raise PermissionDenied(tenant.name, "ask for the health of a model that it may not use")


def _is_open(path: str, request: Any) -> bool:
    """Whether whoever asks may know: that the server is well, but nothing of its models."""
    name = getattr(request, "service", None)  # of a check or a watch; a list has none
    return path.startswith(_HEALTH) and name is not None and not name.startswith(_MODEL)


def _authorization(context: Context) -> list[str]:
    metadata = context.invocation_metadata() or ()
    return [value for key, value in metadata if key == "authorization" and isinstance(value, str)]


def _certificate_names(context: Context) -> list[str]:
    shown = context.auth_context()
    return [
        kind + value.decode(errors="replace")
        for name, kind in _CERTIFICATE_NAMES.items()
        for value in shown.get(name, ())
    ]


def _has_code(context: Context, codes: tuple[grpc.StatusCode, ...]) -> bool:
    code: Any = context.code()
    return any(code in (known, known.value[0]) for known in codes)
