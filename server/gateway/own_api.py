"""The contract's own methods over HTTP and JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.gateway.credentials import metadata_of
from server.gateway.errors import Refusal, RequestRefused, headers_of, http_code_of, status_dict
from server.gateway.rules import Kind, Rule, as_json, from_body, from_query, rules_of_contract
from server.gateway.upstream import Upstream

JSON = "application/json"
_INLINE_BYTES = 16_384  # of a body that is read without leaving the event loop to others


def own_routes(upstream: Upstream) -> list[Route]:
    """A route for each method of the contract that has one answer."""
    return [
        Route(rule.path, _endpoint(rule, upstream), methods=[rule.verb], name=rule.method)
        for rule in rules_of_contract()
        if not rule.is_stream
    ]


def refused(error: Refusal) -> Response:
    """The answer to an error: google.rpc.Status as JSON."""
    return Response(
        json.dumps(status_dict(error.status), ensure_ascii=False),
        http_code_of(error),
        headers_of(error),
        media_type=JSON,
    )


def require_json(request: Request) -> None:
    """Refuse a body of another type.

    Raises:
        RequestRefused: it is another, or of none.
    """
    content_type = request.headers.get("content-type", "")
    kind, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "").removeprefix("charset=")
    if kind.strip().lower() != JSON or charset not in {"", "utf-8"}:
        raise RequestRefused(415, f"the body is of type {content_type!r}, must be {JSON} in UTF-8")


async def read_body(kind: type[Kind], request: Request) -> Kind:
    """The message that a request's body is; a long one is read beside the event loop.

    Raises:
        RequestRefused: it is none.
    """
    body = await request.body()
    if len(body) <= _INLINE_BYTES:
        return from_body(kind, body)
    return await asyncio.to_thread(from_body, kind, body)


def _endpoint(rule: Rule, upstream: Upstream) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if rule.verb == "GET":
            message = from_query(rule.request, request.query_params.multi_items())
        else:
            require_json(request)
            message = await read_body(rule.request, request)
        result = await upstream.call(rule.method, message, rule.answer, metadata_of(request.headers))
        return Response(as_json(result), media_type=JSON)

    return answer
