"""The application: every route, what an error is answered with, and what is around all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.gateway.config import GatewayConfig
from server.gateway.errors import RequestRefused
from server.gateway.exchange import Exchange
from server.gateway.own_api import own_routes, refused
from server.gateway.page import page_routes
from server.gateway.upstream import CallFailed, Upstream

_CORS_SECONDS = 600


def make_app(config: GatewayConfig, upstream: Upstream) -> Starlette:
    """The ASGI application in front of a server."""
    return Starlette(
        routes=[*own_routes(upstream), *_health_routes(upstream), *page_routes(config.page)],
        middleware=_middleware(config),
        exception_handlers={CallFailed: _answer, RequestRefused: _answer, HTTPException: _answer_http},
        lifespan=_closing(upstream),
    )


def _middleware(config: GatewayConfig) -> list[Middleware]:
    layers = [
        Middleware(
            Exchange,
            refuse=lambda _, error: refused(error),
            max_body_bytes=config.max_body_mib << 20,
            body_seconds=config.timeout_seconds,
        )
    ]
    if config.cors_origins:
        origins = {
            "allow_origins": config.cors_origins,
            "allow_methods": ("GET", "POST"),
            "allow_headers": ("authorization", "content-type", "x-request-id"),
            "max_age": _CORS_SECONDS,
        }
        layers.append(Middleware(CORSMiddleware, **origins))
    return layers


def _health_routes(upstream: Upstream) -> list[Route]:
    async def health(_: Request) -> Response:
        if await upstream.is_serving():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "the server does not serve"}, 503)

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return [Route("/health", health, name="health"), Route("/livez", alive, name="livez")]


def _closing(upstream: Upstream) -> Any:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await upstream.close()

    return lifespan


def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, CallFailed | RequestRefused)
    return refused(error)


def _answer_http(_: Request, error: Exception) -> Response:
    """No such path, or none for that verb."""
    assert isinstance(error, HTTPException)
    response = refused(RequestRefused(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response
