"""The listeners around loaded models: gRPC, metrics, and where asked for health and admin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from server.access.access import Access
from server.access.visible_models import VisibleModels
from server.addresses import socket_path, split_address
from server.api.access import AccessInterceptor
from server.api.admin import AdminService
from server.api.cancel_limit import CancelLimit
from server.api.grpc_options import plain_options, translation_options
from server.api.interceptor import CallInterceptor
from server.api.listening import ServeError, bind, joined_address
from server.api.malformed import MalformedInterceptor
from server.api.service import TranslationService
from server.config import ServerConfig
from server.models.failures import worker_error
from server.models.serving import ServedModels
from server.telemetry.metrics import Metrics
from server.telemetry.metrics_page import MetricsPage
from server.tls.certificates import Certificates
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing  # an extra that may not be there

ADMIN_SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
SERVICE = pb.DESCRIPTOR.services_by_name["TranslationService"].full_name
_WATCH_SECONDS = 0.5


class Server:
    """The listeners around loaded models."""

    def __init__(
        self,
        config: ServerConfig,
        served: ServedModels,
        metrics: Metrics,
        tracing: Tracing | None,
        certificates: Certificates | None,
        access: Access | None = None,
    ) -> None:
        self._config, self._served, self._metrics = config, served, metrics
        self._health = HealthServicer()
        self._told: dict[str, bool] = {}  # health by a model's name there
        self._certificates = certificates
        self._page = MetricsPage(metrics.registry)
        limit = CancelLimit(config.max_cancelled_calls, metrics.closed_connections)
        guards = [] if access is None else [AccessInterceptor(access, metrics)]
        self._grpc = grpc.aio.server(
            interceptors=[CallInterceptor(metrics, limit, tracing), *guards],
            options=translation_options(config),
        )
        self._service = TranslationService(VisibleModels(served), config, metrics)
        pb_grpc.add_TranslationServiceServicer_to_server(self._service, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._grpc)
        self._health_only = _plain_server(config) if config.health_listen is not None else None
        # A socket's file lets its owner in alone.
        is_guarded = config.admin_listen is not None and socket_path(config.admin_listen) is None
        self._admin = _plain_server(config, guards if is_guarded else []) if config.admin_listen else None

    async def start(self) -> str:
        """Listen; returns the line that says where."""
        metrics_host, metrics_port = split_address(self._config.metrics_listen)
        try:
            page_port = self._page.start(metrics_host, metrics_port)
        except (OSError, OverflowError) as error:
            raise ServeError(f"cannot listen on {self._config.metrics_listen}: {error}") from error
        places = [
            f"grpc={bind(self._grpc, self._config.listen, self._certificates)}",
            f"metrics=http://{joined_address(metrics_host, page_port)}/metrics",
        ]
        if self._health_only is not None and self._config.health_listen is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_only)
            places.append(f"health={bind(self._health_only, self._config.health_listen)}")
        if self._admin is not None and self._config.admin_listen is not None:
            admin_pb2_grpc.add_AdminServiceServicer_to_server(AdminService(self._served), self._admin)
            reflection.enable_server_reflection((ADMIN_SERVICE, reflection.SERVICE_NAME), self._admin)
            places.append(f"admin={bind(self._admin, self._config.admin_listen)}")
        for server in (self._health_only, self._admin, self._grpc):  # once all have their ports
            if server is not None:
                await server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._tell_health_of_models()
        return " ".join(places)

    async def _tell_health_of_models(self) -> None:
        """One that could not be loaded is not served until it can; one that nobody has asked for yet is."""
        now = {f"model/{model.name}": model.failure is None for model in self._served.current}
        for name in self._told.keys() - now.keys():
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        for name, is_good in now.items():
            if self._told.get(name) is not is_good:
                status = health_pb2.HealthCheckResponse
                await self._health.set(name, status.SERVING if is_good else status.NOT_SERVING)
        self._told = now

    async def watch(self, stopping: asyncio.Event) -> None:
        """Wait for the end.

        Raises:
            WorkerError: a worker died.
        """
        while not stopping.is_set():
            if failures := self._served.failures:
                raise worker_error(failures)
            await self._tell_health_of_models()
            if self._certificates is not None:  # also where no client comes, for the metric and the log
                await asyncio.to_thread(self._certificates.refresh)
            try:
                await asyncio.wait_for(stopping.wait(), _WATCH_SECONDS)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Take no new calls, let running ones finish within drain_seconds, stop the workers."""
        await self._health.enter_graceful_shutdown()
        self._served.drain()
        self._service.drain()
        await self._grpc.stop(self._config.drain_seconds)
        await self._served.stop()
        for server in (self._admin, self._health_only):
            if server is not None:
                await server.stop(0)
        await asyncio.to_thread(self._page.stop)


def _plain_server(config: ServerConfig, guards: Sequence[AccessInterceptor] = ()) -> grpc.aio.Server:
    return grpc.aio.server(interceptors=[MalformedInterceptor(), *guards], options=plain_options(config))
