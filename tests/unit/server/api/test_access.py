"""Calls through the interceptor, behind a real gRPC port: who gets in, what it may, and what is counted."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from server.access.access import Access
from server.access.admission import charge_source_tokens, room_for_texts
from server.access.tokens import hash_of, new_token
from server.api.access import AccessInterceptor
from server.api.cancel_limit import CancelLimit
from server.api.clients import client_of
from server.api.interceptor import CallInterceptor
from server.api.status import abort
from server.commands import reload
from server.errors import QueueFull, RequestError
from server.telemetry.call_record import count_rejection
from server.telemetry.log_format import TextFormatter
from server.telemetry.metrics import Metrics
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 60.0
SHOP, BULK, ADMIN = new_token(), new_token(), new_token()
RULES = f"""
[tenants.shop]
tokens = ["{hash_of(SHOP)}"]
models = ["small"]
pairs = ["en-*"]
requests_per_minute = 40
tokens_per_minute = 100
concurrent_texts = 8

[tenants.night]
tokens = ["{hash_of(BULK)}"]
priority = "bulk"

[tenants.operator]
tokens = ["{hash_of(ADMIN)}"]
admin = true
"""


class Service(pb_grpc.TranslationServiceServicer, admin_pb2_grpc.AdminServiceServicer):
    """Charges what a text says, and tells of who asked; a call of "full" meets a full queue."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.requests: list[pb.TranslateRequest] = []
        self.hold: asyncio.Event | None = None

    async def Translate(self, request: pb.TranslateRequest, context: Any) -> pb.TranslateResponse:  # noqa: N802
        self.requests.append(request)
        try:
            charge_source_tokens(int(request.options.max_target_tokens))
            if request.model == "full":
                raise QueueFull(1, 1, 1)
        except RequestError as error:
            count_rejection(self._metrics, error)
            await abort(context, error)
        if self.hold is not None:
            await self.hold.wait()
        return pb.TranslateResponse(pivot_language=client_of(context))

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        pairs = [pb.LanguagePair(source_language=a, target_language="it") for a in ("en", "de")]
        return pb.ListModelsResponse(models=[pb.Model(name="small", language_pairs=pairs)])

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:  # noqa: N802
        raise NotImplementedError

    async def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: Any
    ) -> pb.ListLanguagePairsResponse:
        raise NotImplementedError

    async def TranslateStream(  # type: ignore[override]  # noqa: N802 - it writes to the context
        self, request_iterator: Any, context: Any
    ) -> None:
        async for request in request_iterator:
            async with room_for_texts(len(request.texts)):
                answer = pb.TranslateResponse(pivot_language=client_of(context))
                await context.write(pb.TranslateStreamResponse(response=answer))

    async def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: Any
    ) -> pb.ListGlossariesResponse:
        raise NotImplementedError

    async def ReloadModels(self, request: Any, context: Any) -> admin_pb2.ReloadModelsResponse:  # noqa: N802
        return admin_pb2.ReloadModelsResponse()


class Running:
    """A server with access, and how to call it with a token."""

    def __init__(self, path: Path) -> None:
        path.write_text(RULES)
        self.path, self.metrics = path, Metrics()
        self.access = Access(path, self.metrics.access_refused.set)
        self.service = Service(self.metrics)
        self.port = 0

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options)

    def value(self, name: str, **labels: str) -> float | None:
        """Of a series."""
        return self.metrics.registry.get_sample_value(f"translator_{name}", labels)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Running, Any], Awaitable[None]]], Running]:
    def run_(talk: Callable[[Running, Any], Awaitable[None]]) -> Running:
        running = Running(tmp_path / "access.toml")

        async def serve() -> None:
            metrics = running.metrics
            limit = CancelLimit(None, metrics.closed_connections)
            guards = [CallInterceptor(metrics, limit), AccessInterceptor(running.access, metrics)]
            server = grpc.aio.server(interceptors=guards)
            pb_grpc.add_TranslationServiceServicer_to_server(running.service, server)
            admin_pb2_grpc.add_AdminServiceServicer_to_server(running.service, server)
            health = HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            for name in ("", "model/small", "model/large"):
                await health.set(name, health_pb2.HealthCheckResponse.SERVING)
            running.port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with running.channel() as channel:
                    await talk(running, channel)
            finally:
                await server.stop(None)

        asyncio.run(serve())
        return running

    return run_


async def refused(call: Any) -> tuple[grpc.StatusCode, str, status_pb2.Status]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    packed = dict(caught.value.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return caught.value.code(), caught.value.details() or "", status_pb2.Status.FromString(packed)


def translate(channel: grpc.aio.Channel, token: str, *texts: str, tokens: int = 1, **fields: Any) -> Any:
    request = pb.TranslateRequest(
        texts=texts, options=pb.TranslateOptions(max_target_tokens=tokens), **fields
    )
    stub: Any = pb_grpc.TranslationServiceStub(channel)
    return stub.Translate(request, metadata=bearer(token), timeout=PATIENCE_SECONDS)


def test_a_call_is_its_tenants_and_a_stranger_is_told_nothing_but_to_show_a_credential(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    caplog.handler.setFormatter(TextFormatter())
    unknown = new_token()

    async def talk(running: Running, channel: Any) -> None:
        answer = await translate(channel, SHOP, "a", tokens=7)
        assert answer.pivot_language == "name:shop"
        stub = pb_grpc.TranslationServiceStub(channel)
        code, _, _ = await refused(stub.ListModels(pb.ListModelsRequest()))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        code, message, _ = await refused(translate(channel, unknown, "a"))
        assert (code, message) == (grpc.StatusCode.UNAUTHENTICATED, "the token is not known")
        async with running.channel() as other:  # gRPC reads no such header, and may end the connection
            await refused(translate(other, "b" * (1 << 20), "a"))
        assert (await translate(channel, SHOP, "a")).pivot_language == "name:shop"

    running = run(talk)
    assert running.value("requests_rejected_total", reason="unauthenticated") == 2
    assert running.value("tenant_calls_total", tenant="shop") == 2
    assert running.value("tenant_source_tokens_total", tenant="shop") == 8
    log = caplog.text
    assert "tenant=shop" in log
    assert all(secret[:20] not in log for secret in (SHOP, unknown, "b" * 20))
    assert logging.getLogger("traghetto.call").isEnabledFor(logging.INFO)


def test_a_stream_is_its_tenants_from_its_beginning(run: Any) -> None:
    async def messages(count: int) -> AsyncIterator[pb.TranslateStreamRequest]:
        for i in range(count):
            yield pb.TranslateStreamRequest(texts=[pb.StreamText(id=i, text="a")] * 100)

    async def talk(running: Running, channel: Any) -> None:
        stub: Any = pb_grpc.TranslationServiceStub(channel)
        call = stub.TranslateStream(messages(3), metadata=bearer(SHOP), timeout=PATIENCE_SECONDS)
        assert [answer.response.pivot_language async for answer in call] == ["name:shop"] * 3
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.TranslateStream(messages(1), timeout=PATIENCE_SECONDS).read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    running = run(talk)
    assert running.value("tenant_calls_total", tenant="shop") == 1


def test_lists_hold_what_a_tenant_may_use(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        stub: Any = pb_grpc.TranslationServiceStub(channel)
        for token, sources in ((SHOP, ["en"]), (BULK, ["en", "de"])):
            listed = await stub.ListModels(pb.ListModelsRequest(), metadata=bearer(token))
            assert [pair.source_language for pair in listed.models[0].language_pairs] == sources

    run(talk)


def test_health_of_the_server_is_open_and_that_of_models_is_for_who_may_use_them(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        def check(name: str, *token: str) -> Any:
            metadata = bearer(token[0]) if token else ()
            return stub.Check(health_pb2.HealthCheckRequest(service=name), metadata=metadata)

        assert (await check("")).status == health_pb2.HealthCheckResponse.SERVING
        assert (await refused(check("model/small")))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert (await check("model/small", SHOP)).status == health_pb2.HealthCheckResponse.SERVING
        assert (await refused(check("model/large", SHOP)))[0] is grpc.StatusCode.PERMISSION_DENIED
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="model/large"), metadata=bearer(SHOP))
        assert (await refused(watch.read()))[0] is grpc.StatusCode.PERMISSION_DENIED

    run(talk)


def test_the_admin_service_is_an_admins(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        stub: Any = admin_pb2_grpc.AdminServiceStub(channel)
        code, message, _ = await refused(
            stub.ReloadModels(admin_pb2.ReloadModelsRequest(), metadata=bearer(SHOP))
        )
        assert (code, message) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "tenant 'shop' may not call the admin service",
        )
        await stub.ReloadModels(admin_pb2.ReloadModelsRequest(), metadata=bearer(ADMIN))

    assert run(talk).value("tenant_refusals_total", tenant="shop", reason="permission") == 1


def test_the_reload_command_says_who_calls(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text(ADMIN)
    path.chmod(0o600)

    async def talk(running: Running, channel: Any) -> None:
        command = ["traghetto-reload", f"--server=127.0.0.1:{running.port}"]
        monkeypatch.setattr("sys.argv", command)
        assert await asyncio.to_thread(reload.main) == 2
        monkeypatch.setenv("TRAGHETTO_TOKEN", SHOP)
        assert await asyncio.to_thread(reload.main) == 2
        monkeypatch.setattr("sys.argv", [*command, f"--token-file={path}"])
        assert await asyncio.to_thread(reload.main) == 0
        path.chmod(0o644)
        assert await asyncio.to_thread(reload.main) == 2

    monkeypatch.delenv("TRAGHETTO_TOKEN", raising=False)
    run(talk)
    missing, denied, readable = capsys.readouterr().err.splitlines()
    assert missing.startswith("traghetto-reload: UNAUTHENTICATED: ")
    assert denied == "traghetto-reload: PERMISSION_DENIED: tenant 'shop' may not call the admin service"
    assert readable.startswith(f"traghetto-reload: {path} has mode 0644")


def test_the_reload_command_sends_no_token_over_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAGHETTO_TOKEN", ADMIN)
    monkeypatch.setattr("sys.argv", ["traghetto-reload", "--server=192.0.2.1:50053"])
    assert reload.main() == 2
    assert "would cross the network to 192.0.2.1:50053" in capsys.readouterr().err


def test_a_tenant_of_bulk_makes_bulk_calls(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        for priority in (pb.PRIORITY_UNSPECIFIED, pb.PRIORITY_BULK):
            await translate(channel, BULK, "a", priority=priority)
        code, _, _ = await refused(translate(channel, BULK, "a", priority=pb.PRIORITY_INTERACTIVE))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert [r.priority for r in running.service.requests] == [pb.PRIORITY_BULK] * 2

    run(talk)


def test_a_quota_is_named_with_when_it_fits_and_what_was_not_translated_is_given_back(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        await translate(channel, SHOP, "a", tokens=90)
        await refused(translate(channel, SHOP, "a", tokens=10, model="full"))
        await translate(channel, SHOP, "a", tokens=10)
        code, message, status = await refused(translate(channel, SHOP, "a", tokens=1))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message.startswith("tokens_per_minute of tenant 'shop': the call needs 1, the limit is 100")
        failure, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(failure)
        assert status.details[1].Unpack(retry)
        assert [(v.subject, v.quota_id) for v in failure.violations] == [("tenant:shop", "tokens_per_minute")]
        assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 61
        _, message, status = await refused(translate(channel, SHOP, *"123456789"))
        assert message.startswith("concurrent_texts of tenant 'shop': the call needs 9, the limit is 8")
        assert len(status.details) == 1

    running = run(talk)
    assert running.value("tenant_refusals_total", tenant="shop", reason="tokens_per_minute") == 1
    assert running.value("tenant_source_tokens_total", tenant="shop") == 100


def test_64_connections_at_once_get_no_more_than_the_quotas(run: Any) -> None:
    async def talk(running: Running, _: Any) -> None:
        running.service.hold = asyncio.Event()
        async with AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(running.channel()) for _ in range(64)]

            async def code_of(channel: Any) -> str:
                try:
                    await translate(channel, SHOP, "a")
                except grpc.aio.AioRpcError as error:
                    return str(error.details()).partition(" ")[0]
                return "OK"

            async def first_round() -> list[str]:
                calls = [asyncio.create_task(code_of(channel)) for channel in channels]
                for ended in itertools.islice(asyncio.as_completed(calls), 56):
                    await ended
                assert len(running.service.requests) == 8
                assert running.service.hold is not None
                running.service.hold.set()
                return await asyncio.gather(*calls)

            codes = await first_round()
            assert (codes.count("OK"), codes.count("concurrent_texts")) == (8, 56)
            for number in (64, 64):  # the first 32 of these are what is left of the requests
                codes += await asyncio.gather(*map(code_of, channels[:number]))
            assert codes.count("OK") == 40

    assert run(talk).value("tenant_calls_total", tenant="shop") == 192


def test_new_rules_under_load_lose_no_call_and_let_nobody_in(run: Any) -> None:
    async def talk(running: Running, channel: Any) -> None:
        def reload_all() -> None:
            for i in range(40):
                change(i)

        def change(round_: int) -> None:
            extra = (
                f'\n[tenants.t{round_}]\ntokens = ["{hash_of(new_token())}"]\n' if round_ % 3 else "\n[broken"
            )
            running.path.write_text(RULES + extra)
            running.access.refresh()

        async def load(token: str) -> list[grpc.StatusCode]:
            codes = []
            for _ in range(40):
                try:
                    await translate(channel, token, "a")
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
            return codes

        reloads = asyncio.create_task(asyncio.to_thread(reload_all))
        good, bad = await asyncio.gather(load(BULK), load("traghetto_unknown"))
        await reloads
        assert set(good) == {grpc.StatusCode.OK}
        assert set(bad) == {grpc.StatusCode.UNAUTHENTICATED}

    run(talk)
