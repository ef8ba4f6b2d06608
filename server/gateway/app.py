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

from server.gateway import deepl, libretranslate, own_api
from server.gateway.config import GatewayConfig
from server.gateway.deepl import DeepL
from server.gateway.deepl_documents import DeepLDocuments
from server.gateway.deepl_glossaries import DeepLGlossaries
from server.gateway.errors import RequestRefused
from server.gateway.exchange import Exchange
from server.gateway.file_jobs import FileJobs
from server.gateway.libretranslate import LibreTranslate
from server.gateway.metrics import Counted, GatewayMetrics
from server.gateway.openapi import openapi_route
from server.gateway.own_api import own_routes
from server.gateway.page import page_routes
from server.gateway.streaming import stream_route
from server.gateway.upstream import CallFailed, Upstream

_CORS_SECONDS = 600


def make_app(config: GatewayConfig, upstream: Upstream, metrics: GatewayMetrics) -> Starlette:
    """The ASGI application in front of a server; made in the event loop that it runs in."""
    files, glossaries = FileJobs(config, upstream), DeepLGlossaries(upstream)
    routes = [
        *own_routes(upstream),
        stream_route(upstream),
        openapi_route(),
        *LibreTranslate(upstream, files).routes(),
        *DeepL(upstream, glossaries).routes(),
        *glossaries.routes(),
        *DeepLDocuments(files).routes(),
        *_health_routes(upstream),
        *page_routes(config.page),
    ]
    return Starlette(
        routes=routes,
        middleware=_middleware(config, metrics),
        exception_handlers={
            CallFailed: _answer,
            RequestRefused: _answer,
            HTTPException: _answer_http,
            Exception: _answer_fault,
        },
        lifespan=_closing(upstream, files),
    )


def _middleware(config: GatewayConfig, metrics: GatewayMetrics) -> list[Middleware]:
    layers = [
        Middleware(Counted, metrics=metrics),
        Middleware(
            Exchange,
            refuse=_answer,
            max_body_bytes=config.max_body_mib << 20,
            body_seconds=config.timeout_seconds,
        ),
    ]
    if config.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=config.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("authorization", "content-type", "x-request-id"),
                max_age=_CORS_SECONDS,
            )
        )
    return layers


def _health_routes(upstream: Upstream) -> list[Route]:
    async def health(_: Request) -> Response:
        if await upstream.is_serving():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "the server does not serve"}, 503)

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return [Route("/health", health, name="health"), Route("/livez", alive, name="livez")]


def _closing(upstream: Upstream, files: FileJobs) -> Any:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await files.close()
        await upstream.close()

    return lifespan


def _answer(request: Request, error: Exception) -> Response:
    """An error in the form of the API that was asked."""
    assert isinstance(error, CallFailed | RequestRefused)
    path = request.url.path
    if path in libretranslate.PATHS or path.startswith(libretranslate.DOWNLOADS):
        return libretranslate.refused(error)
    return (deepl.refused if path.startswith(deepl.PREFIXES) else own_api.refused)(error)


def _answer_http(request: Request, error: Exception) -> Response:
    """No such path, or none for that verb; or a form that is none."""
    assert isinstance(error, HTTPException)
    response = _answer(request, RequestRefused(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response


def _answer_fault(request: Request, _: Exception) -> Response:
    """A fault of our own; uvicorn logs it."""
    return _answer(request, RequestRefused(500, "a fault of the gateway, whose log tells more"))
