"""The gateway's application in this process, before a server that is busy, or tells what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest

from server.gateway.app import make_app
from server.gateway.config import GatewayConfig
from server.gateway.file_jobs import _file_name
from server.gateway.metrics import Counted, GatewayMetrics
from server.gateway.upstream import Upstream
from tests.unit.traghetto.misbehaving import Answer, Context, Service, busy, echo, refuse, serving
from traghetto.pb.translation.v1 import translation_pb2 as pb

BODY = {"sourceLanguage": "en", "targetLanguage": "it", "texts": ["Hello."]}
LIBRE = {"q": "Hello.", "source": "en", "target": "it"}
DEEPL = {"text": ["Hello."], "source_lang": "EN", "target_lang": "IT"}
Asking = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def asked(answer: Answer, ask: Asking) -> httpx.Response:
    """What the application says before a server with that answer."""

    async def run(address: str) -> httpx.Response:
        config = GatewayConfig(server=address, timeout_seconds=20)
        upstream = Upstream(config)
        app = make_app(config, upstream, GatewayMetrics())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://gateway"
        ) as client:
            response = await ask(client)
        await upstream.close()
        return response

    with serving(Service(answer)) as address:
        return asyncio.run(run(address))


def posted(path: str, body: object, **headers: str) -> Asking:
    return lambda client: client.post(path, json=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/translate", BODY, ("message",)),
        ("/translate", LIBRE, ("error",)),
        ("/v2/translate", DEEPL, ("message",)),
    ],
)
def test_a_busy_server_is_a_429_that_says_when_to_come_back(
    path: str, body: object, message: tuple[str]
) -> None:
    response = asked(busy(2.5), posted(path, body))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.json()[message[0]] == "the queue is full"


@pytest.mark.parametrize(
    ("code", "http_codes"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, (401, 403, 403)),
        (grpc.StatusCode.PERMISSION_DENIED, (403, 403, 403)),
        (grpc.StatusCode.NOT_FOUND, (404, 400, 400)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (413, 413, 413)),
        (grpc.StatusCode.UNAVAILABLE, (503, 503, 503)),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (504, 504, 504)),
        (grpc.StatusCode.INTERNAL, (500, 500, 500)),
    ],
)
def test_each_code_of_grpc_has_one_of_http(code: grpc.StatusCode, http_codes: tuple[int, ...]) -> None:
    def answer(_: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        refuse(context, code, "no")

    requests = (("/v1/translate", BODY), ("/translate", LIBRE), ("/v2/translate", DEEPL))
    assert tuple(asked(answer, posted(*one)).status_code for one in requests) == http_codes


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/translate", BODY, {"authorization": "Bearer secret"}),
        ("/v2/translate", DEEPL, {"authorization": "DeepL-Auth-Key secret"}),
        ("/translate", LIBRE | {"api_key": "secret"}, {}),
        ("/translate", LIBRE | {"api_key": "another"}, {"authorization": "bearer secret"}),
    ],
)
def test_credentials_reach_the_server_as_one_bearer_token(
    path: str, body: object, headers: dict[str, str]
) -> None:
    found: list[dict[str, Any]] = []

    def answer(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        found.append(dict(context.invocation_metadata()))
        return echo(request, context)

    sent = headers | {"x-request-id": "abc", "x-forwarded-for": "10.0.0.1"}
    assert asked(answer, posted(path, body, **sent)).status_code == 200
    (metadata,) = found
    assert (metadata["authorization"], metadata["x-request-id"]) == ("Bearer secret", "abc")
    assert "x-forwarded-for" not in metadata


def test_an_empty_key_is_none() -> None:
    def answer(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        assert "authorization" not in dict(context.invocation_metadata())
        return echo(request, context)

    assert asked(answer, posted("/translate", LIBRE | {"api_key": ""})).status_code == 200


@pytest.mark.parametrize("token", ["a b", "ключ", "a" * 8193])
def test_what_can_be_no_token_is_refused(token: str) -> None:
    assert asked(echo, posted("/translate", LIBRE | {"api_key": token})).status_code == 401


def test_a_text_that_failed_fails_the_request_and_is_named() -> None:
    def answer(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        response = echo(request, context)
        response.items[1].error.code, response.items[1].error.message = 3, "the text has 300 tokens"
        return response

    response = asked(answer, posted("/translate", LIBRE | {"q": ["One.", "Two."]}))
    assert (response.status_code, response.json()) == (400, {"error": "texts[1]: the text has 300 tokens"})


def test_details_are_written_out_with_their_kind() -> None:
    def answer(_: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        refuse(context, grpc.StatusCode.INTERNAL, "no", pb.LanguagePair(source_language="en"))

    (detail,) = asked(answer, posted("/v1/translate", BODY)).json()["details"]
    assert detail == {"@type": "type.googleapis.com/translation.v1.LanguagePair", "sourceLanguage": "en"}


def test_events_of_a_stream_carry_the_index_of_their_text() -> None:
    response = asked(
        echo, posted("/v1/translate:stream", BODY | {"texts": ["a", "b"], "targetPrefixes": ["", "c"]})
    )
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    items = sorted(json.loads(data.removeprefix("data: "))["index"] for name, data in events[:-1])
    assert (items, events[-1][0]) == ([0, 1], "event: end")
    refused = asked(echo, posted("/v1/translate:stream", BODY | {"targetPrefixes": ["", "c"]}))
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "credential", ["Basic dXNlcjpwYXNz", "Token x", "Bearer a b", "Bearer", "Bearer \u00e9"]
)
def test_a_credential_that_is_none_is_refused_and_never_taken_for_none_being_there(credential: str) -> None:
    def ask(client: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        return client.post(
            "/v1/translate", json=BODY, headers={b"authorization": credential.encode("latin-1")}
        )

    response = asked(echo, ask)
    assert (response.status_code, response.json()["code"]) == (401, 16)


def test_a_number_of_thousands_of_digits_is_beyond_its_limit() -> None:
    response = asked(echo, posted("/translate", LIBRE | {"alternatives": "9" * 5000}))
    assert response.status_code == 400


def test_a_fault_of_the_gateway_is_counted_as_one() -> None:
    metrics = GatewayMetrics()

    async def fail(*_: Any) -> Any:
        raise KeyError

    async def run() -> None:
        with pytest.raises(KeyError):
            await Counted(fail, metrics=metrics)({"type": "http"}, fail, fail)

    asyncio.run(run())
    assert metrics.requests.labels("none", 500)._value.get() == 1


@pytest.mark.parametrize("name", ["..", ".", "", "a/..", "\u4e16" * 200 + ".txt", "a/b\\c.txt"])
def test_a_file_has_a_name_of_its_own_whatever_it_is_called(name: str) -> None:
    found = _file_name(name)
    assert found not in {"", ".", ".."}
    assert len(found.encode()) <= 200
    assert not set(found) & {"/", "\\"}
    assert found.endswith(".txt") == name.endswith(".txt")
