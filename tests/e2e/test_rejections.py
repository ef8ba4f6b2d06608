"""Calls refused at moments that no client can time: the model stands in the test's own process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from server.api.cancel_limit import CancelLimit
from server.api.interceptor import CallInterceptor
from server.api.service import TranslationService
from server.config import ServerConfig
from server.errors import DeadlineExceeded
from server.models.served_model import ServedModel
from server.models.serving import ServedModels
from server.telemetry.call import Call
from server.telemetry.metrics import REJECT_REASONS, Metrics
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

MakeRequest = Callable[..., pb.TranslateRequest]


@dataclass(frozen=True)
class Loaded:
    """A model in the test's own process, so that the test can reach it, and the service in front of it."""

    model: ServedModel
    service: TranslationService
    metrics: Metrics

    def rejected(self) -> dict[str, float]:
        """How many calls were refused, by reason."""
        name = "translator_requests_rejected_total"
        found = {r: self.metrics.registry.get_sample_value(name, {"reason": r}) for r in REJECT_REASONS}
        return {reason: count for reason, count in found.items() if count}


@pytest.fixture
def loaded(artifact: Path) -> Iterator[Loaded]:
    config = ServerConfig(artifacts=(artifact,), runners=1, slots=1)
    metrics = Metrics()
    served = ServedModels(config, metrics)
    (model,) = served.current
    yield Loaded(model, TranslationService(served, config, metrics), metrics)
    model.worker.stop()


def test_a_call_that_meets_a_draining_model_is_refused_and_counted(
    loaded: Loaded, make_request: MakeRequest
) -> None:
    async def run() -> grpc.StatusCode:
        limit = CancelLimit(None, loaded.metrics.closed_connections)
        server = grpc.aio.server(interceptors=[CallInterceptor(loaded.metrics, limit)])
        pb_grpc.add_TranslationServiceServicer_to_server(loaded.service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.TranslationServiceStub(channel).Translate(make_request("Yes."))
        await server.stop(None)
        return caught.value.code()

    loaded.model.worker.drain()
    assert asyncio.run(run()) is grpc.StatusCode.UNAVAILABLE
    assert loaded.rejected() == {"draining": 1}


def test_a_call_whose_deadline_passed_before_it_could_wait_is_refused_and_counted(
    loaded: Loaded, make_request: MakeRequest
) -> None:
    call, now = Call("translation.v1.TranslationService", "Translate", "id"), time.monotonic()
    with pytest.raises(DeadlineExceeded):
        asyncio.run(loaded.service.answer(make_request("Yes."), call, started=now, deadline=now))
    assert loaded.rejected() == {"deadline": 1}
