"""What the interceptor does for any method: its id, its count, and a fault that nobody foresaw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from server.api.cancel_limit import CancelLimit
from server.api.interceptor import CallInterceptor
from server.telemetry.metrics import Metrics
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

SECRET = "the text of a client"  # noqa: S105 - no password
PATIENCE_SECONDS = 60.0
Talk = Callable[[Any], Awaitable[None]]  # with a stub


class Service(pb_grpc.TranslationServiceServicer):
    """Lists nothing, and fails to translate by a bug."""

    async def Translate(self, request: pb.TranslateRequest, context: Any) -> pb.TranslateResponse:  # noqa: N802
        raise KeyError(SECRET)

    async def TranslateStream(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        del request_iterator

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:  # noqa: N802
        return pb.ScoreResponse()

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        return pb.ListModelsResponse()

    async def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: Any
    ) -> pb.ListLanguagePairsResponse:
        return pb.ListLanguagePairsResponse()

    async def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: Any
    ) -> pb.ListGlossariesResponse:
        return pb.ListGlossariesResponse()


def serve(metrics: Metrics, talk: Talk) -> None:
    """A real server on a free port, for as long as somebody talks to it."""

    async def run() -> None:
        server = grpc.aio.server(
            interceptors=[CallInterceptor(metrics, CancelLimit(None, metrics.closed_connections))]
        )
        pb_grpc.add_TranslationServiceServicer_to_server(Service(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await talk(pb_grpc.TranslationServiceStub(channel))
        await server.stop(None)

    asyncio.run(run())


def handled(metrics: Metrics) -> dict[str, float]:
    samples = [sample for family in metrics.rpc_handled.collect() for sample in family.samples]
    return {sample.labels["grpc_code"]: sample.value for sample in samples}


def test_a_bug_is_an_internal_error_that_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    metrics = Metrics()

    async def talk(stub: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Translate(pb.TranslateRequest(), timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert SECRET not in repr(caught.value)

    serve(metrics, talk)
    assert handled(metrics) == {"INTERNAL": 1}
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [fault.__dict__["fields"]["error"] for fault in faults] == ["KeyError"]
    assert SECRET not in caplog.text


def test_each_method_has_one_set_of_series_however_often_it_is_called() -> None:
    metrics = Metrics()

    async def talk(stub: Any) -> None:
        ids = set()
        for _ in range(10):
            call = stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE_SECONDS)
            await call
            ids.add(dict(await call.trailing_metadata())["x-request-id"])
        assert len(ids) == 10

    serve(metrics, talk)
    assert handled(metrics) == {"OK": 10}
