"""POST /v1/translate:stream: the items of a TranslateRequest as server-sent events, each as it ends.

Each text is a call of its own; the items of a long document come while its rest is translated.
Source: WHATWG HTML, section 9.2, Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from server.gateway.credentials import metadata_of
from server.gateway.errors import RequestRefused, status_dict
from server.gateway.own_api import read_body, require_json
from server.gateway.upstream import CallFailed, Metadata, Upstream
from traghetto.pb.translation.v1 import translation_pb2 as pb

PATH = "/v1/translate:stream"
_MAX_TEXTS = 16_384  # as many as the segments of a call
_CALLS_UNDER_WAY = 8
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the second for nginx in front


def stream_route(upstream: Upstream) -> Route:
    """The method's route."""

    async def answer(request: Request) -> Response:
        require_json(request)
        whole = await read_body(pb.TranslateRequest, request)
        calls = _calls(whole)
        events = _events(upstream, calls, metadata_of(request.headers))
        return StreamingResponse(events, headers=_HEADERS, media_type="text/event-stream")

    return Route(PATH, answer, methods=["POST"], name="TranslateStream")


def _calls(whole: pb.TranslateRequest) -> Sequence[Callable[[], pb.TranslateRequest]]:
    """What makes the request of each text, when it is time: each has all that is not of one text.

    Raises:
        RequestRefused: there are none, too many, or prefixes that do not fit them.
    """
    texts, prefixes = list(whole.texts), list(whole.target_prefixes)
    if not 1 <= len(texts) <= _MAX_TEXTS:
        raise RequestRefused(400, f"has {len(texts)} texts, must have from 1 to {_MAX_TEXTS}", field="texts")
    if len(prefixes) not in {0, 1, len(texts)}:
        raise RequestRefused(
            400, f"has {len(prefixes)}, must have none, one or {len(texts)}", field="target_prefixes"
        )
    del whole.texts[:], whole.target_prefixes[:]

    def call_of(number: int) -> pb.TranslateRequest:
        call = pb.TranslateRequest()
        call.CopyFrom(whole)
        call.texts.append(texts[number])
        call.target_prefixes.extend(prefixes[number : number + 1] if len(prefixes) > 1 else prefixes)
        return call

    return [partial(call_of, number) for number in range(len(texts))]


async def _events(
    upstream: Upstream, calls: Sequence[Callable[[], pb.TranslateRequest]], metadata: Metadata
) -> AsyncIterator[str]:
    """An event for each answer in the order in which they come, then one that says that these are all."""
    room = asyncio.Semaphore(_CALLS_UNDER_WAY)

    async def answer(number: int) -> tuple[int, pb.TranslateResponse]:
        async with room:
            call = upstream.call("Translate", calls[number](), pb.TranslateResponse, metadata)
            return number, await call

    tasks = [asyncio.create_task(answer(number)) for number in range(len(calls))]
    try:
        for done in asyncio.as_completed(tasks):
            number, response = await done
            yield _event("item", {"index": number, **json_format.MessageToDict(response)})
        yield _event("end", {"count": len(calls)})
    except CallFailed as error:  # the head of the answer is long gone
        yield _event("error", status_dict(error.status))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
