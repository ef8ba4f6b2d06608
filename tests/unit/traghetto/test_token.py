"""A client's token: where it goes, where it does not, and when it is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.commands.token_file import make_token
from server.commands.translate_arguments import parse_arguments
from traghetto import AsyncClient, CallError, Client, TokenError
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 60.0
OLD, NEW, SECRET = "old", "new", "secret"
ADDRESSES = ["10.0.0.1:1", "dns:///translate.example:1", "ipv4:127.0.0.1:1,10.0.0.1:1"]


class Service(pb_grpc.TranslationServiceServicer):
    """Takes one token, and writes down what it is shown."""

    def __init__(self, good: str) -> None:
        self.good, self.shown = good, list[str]()

    def ListModels(self, request: Any, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        self.shown.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.shown[-1] != f"Bearer {self.good}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        return pb.ListModelsResponse()

    def Translate(self, request: Any, context: Any) -> pb.TranslateResponse:  # noqa: N802
        raise NotImplementedError

    def Score(self, request: Any, context: Any) -> pb.ScoreResponse:  # noqa: N802
        raise NotImplementedError

    def ListLanguagePairs(self, request: Any, context: Any) -> pb.ListLanguagePairsResponse:  # noqa: N802
        raise NotImplementedError

    def TranslateStream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def ListGlossaries(self, request: Any, context: Any) -> pb.ListGlossariesResponse:  # noqa: N802
        raise NotImplementedError


def ask(address: str, **how: Any) -> None:
    with Client(address, PATIENCE_SECONDS, **how) as client:
        client.models()


def ask_async(address: str, **how: Any) -> None:
    async def run() -> None:
        async with AsyncClient(address, PATIENCE_SECONDS, **how) as client:
            await client.models()

    asyncio.run(run())


@pytest.mark.parametrize("ask", [ask, ask_async])
def test_a_refused_token_is_asked_for_again_once_and_a_fixed_one_is_not(ask: Callable[..., None]) -> None:
    service, server = Service("new"), grpc.server(ThreadPoolExecutor(1))
    pb_grpc.add_TranslationServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    given = iter(["old", "new"])
    ask(address, token=lambda: next(given))
    ask(address, token=NEW)
    with pytest.raises(CallError, match="UNAUTHENTICATED"):
        ask(address, token=OLD)
    old = iter(["old", "older"])
    with pytest.raises(CallError, match="UNAUTHENTICATED"):
        ask(address, token=lambda: next(old))
    with pytest.raises(CallError, match="UNAUTHENTICATED"):
        ask(address)
    server.stop(0).wait()
    shown = ["old", "new", "new", "old", "old", "older"]
    assert service.shown == [*(f"Bearer {token}" for token in shown), ""]


@pytest.mark.parametrize("ask", [ask, ask_async])
def test_a_token_that_is_none_is_refused_and_not_quoted(ask: Callable[..., None]) -> None:
    for bad in ("", "secret\n", "secret word", "sécret"):
        for token in (bad, lambda bad=bad: bad):
            with pytest.raises(TokenError) as caught:
                ask("127.0.0.1:1", token=token)
            assert "cret" not in str(caught.value)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_token_crosses_no_network_in_plain_text_unless_that_is_allowed(address: str) -> None:
    with pytest.raises(TokenError, match="in plain text"):
        Client(address, token=SECRET)
    Client(address, token=SECRET, allow_plaintext_token=True).close()
    Client("unix:/run/traghetto.sock", token=SECRET).close()


def test_the_command_reads_a_token_from_a_file_that_is_kept_or_from_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    path.chmod(0o600)
    arguments = ["--source=en", "--target=it"]
    assert make_token(parse_arguments(arguments), {"TRAGHETTO_TOKEN": "other"}) == "other"
    assert make_token(parse_arguments(arguments), {}) is None
    token = make_token(parse_arguments([*arguments, f"--token-file={path}"]), {"TRAGHETTO_TOKEN": "other"})
    assert callable(token)
    assert token() == "secret"
    path.chmod(0o644)
    with pytest.raises(TokenError, match="mode 0644, and can be read by anybody"):
        token()
