"""LoadGen offers what it is told to, and whatever fails makes a run invalid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from tests.load.loadgen import Load, offer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

REQUEST = pb.TranslateRequest(texts=["Hello!"]).SerializeToString()
LOAD = Load(rate=100.0, seconds=1.0, min_queries=50)
ANSWER = pb.TranslationItem(translation=pb.Translation(text="Ciao!", target_tokens=3))
NUM_WARM_UPS = 1

Answer = Callable[[int, grpc.ServicerContext], pb.TranslationItem]


class FakeServer(pb_grpc.TranslationServiceServicer):
    """Answers its n-th call, from 0, as it is told to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.num_calls = 0

    def Translate(self, request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:  # noqa: N802
        self.num_calls += 1
        return pb.TranslateResponse(items=[self._answer(self.num_calls - 1, context)])

    def TranslateStream(self, request_iterator: object, context: object) -> Iterator[Any]:  # noqa: N802
        yield from ()

    def Score(self, request: pb.ScoreRequest, context: object) -> pb.ScoreResponse:  # noqa: N802
        return pb.ScoreResponse()

    def ListModels(self, request: pb.ListModelsRequest, context: object) -> pb.ListModelsResponse:  # noqa: N802
        return pb.ListModelsResponse()

    def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: object
    ) -> pb.ListLanguagePairsResponse:
        return pb.ListLanguagePairsResponse()

    def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: object
    ) -> pb.ListGlossariesResponse:
        return pb.ListGlossariesResponse()


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, FakeServer]]:
    server, fake = grpc.server(ThreadPoolExecutor(1)), FakeServer(answer)
    pb_grpc.add_TranslationServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", fake
    finally:
        server.stop(None).wait()


def test_every_query_is_answered_once() -> None:
    with serving(lambda call, context: ANSWER) as (address, fake):
        result = offer(address, [REQUEST], LOAD)
    assert result.num_errors == 0
    assert result.num_queries == fake.num_calls - NUM_WARM_UPS
    assert result.offered_rate == pytest.approx(LOAD.rate, rel=0.3)
    assert result.target_tokens_per_second == pytest.approx(3 * result.completed_rate)
    assert 0 < result.p50_milliseconds <= result.p99_milliseconds <= result.p999_milliseconds


def test_failed_call_makes_latencies_infinite() -> None:
    def answer(call: int, context: grpc.ServicerContext) -> pb.TranslationItem:
        if call == 10:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
        return ANSWER

    with serving(answer) as (address, _):
        result = offer(address, [REQUEST], LOAD)
    assert result.num_errors == 1
    assert math.isinf(result.p99_milliseconds)
    assert not result.is_valid


def test_text_that_failed_is_an_error_though_its_call_was_not() -> None:
    failed = pb.TranslationItem()
    failed.error.code = 13
    with serving(lambda call, context: failed if call == 10 else ANSWER) as (address, _):
        result = offer(address, [REQUEST], LOAD)
    assert result.num_errors == 1
    assert not result.is_valid


def test_run_that_gives_up_is_invalid() -> None:
    with serving(lambda call, context: ANSWER) as (address, _):
        load = Load(rate=5000.0, seconds=2.0, min_queries=50, max_outstanding_seconds=0.01)
        assert not offer(address, [REQUEST], load).is_valid
