"""Every Prometheus metric of the gateway, and the middleware that counts requests."""

from __future__ import annotations

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traghetto.version import __version__

_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CLIENT_GONE = 499  # as nginx has it: nobody reads an answer


class GatewayMetrics:
    """The metrics of one gateway, in a registry of its own; no label comes from a client's text."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "gateway_requests",
            "Requests answered, by route and HTTP status code; 499 where the client left before.",
            ("route", "code"),
            registry=registry,
        )
        self.seconds = Histogram(
            "gateway_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.running = Gauge("gateway_running_requests", "Requests under way.", registry=registry)
        build = Gauge("gateway_build_info", "This build.", ("version",), registry=registry)
        build.labels(__version__).set(1)


class Counted:
    """Counts and times requests; the outermost middleware.

    Args:
        app: What answers; it leaves in the scope the route that was found.
        metrics: What is counted in.
    """

    def __init__(self, app: ASGIApp, *, metrics: GatewayMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; what is no HTTP goes on as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = time.perf_counter(), CLIENT_GONE

        async def noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            except Exception:
                code = 500  # what is outside of this answers so
                raise
            finally:
                route = getattr(scope.get("route"), "name", None) or "none"
                self._metrics.requests.labels(route, code).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
