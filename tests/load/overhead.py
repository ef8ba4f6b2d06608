"""What serving adds to a single request: the same sentence through gRPC and through the engine, by turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from server.client import Client
from server.pb.translation.v1 import translation_pb2 as pb
from tests.load.grpc_requests import MAX_TARGET_TOKENS, requests_of
from tests.load.ours import Ours
from tests.load.subjects import Subject

_NUM_WARM_UPS = 5
_NUM_SENTENCES = 40
_NUM_TURNS = 3


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Medians over single greedy requests.

    Args:
        served_milliseconds: From call to answer through gRPC.
        engine_milliseconds: From ids to ids in the engine alone.
        milliseconds: The difference, request by request.
    """

    served_milliseconds: float
    engine_milliseconds: float
    milliseconds: float


def single_request_overhead(subject: Subject, address: str) -> Overhead:
    """Measure it on a running server of the subject's artifact that has nothing else to do."""
    few = subject.first(_NUM_SENTENCES)
    pairs = list(zip(few.sources, requests_of(few), strict=True))
    engine = Ours(subject.artifact)
    served, alone = [], []
    try:
        with Client(address) as client:
            for source, request in pairs * _NUM_TURNS:
                served.append(_milliseconds(partial(_through_grpc, client, request)))
                alone.append(_milliseconds(partial(engine.translate_one, source, 1, MAX_TARGET_TOKENS)))
    finally:
        engine.close()
    served, alone = served[_NUM_WARM_UPS:], alone[_NUM_WARM_UPS:]
    return Overhead(
        served_milliseconds=statistics.median(served),
        engine_milliseconds=statistics.median(alone),
        milliseconds=statistics.median(a - b for a, b in zip(served, alone, strict=True)),
    )


def _through_grpc(client: Client, request: pb.TranslateRequest) -> None:
    (item,) = client.call(request).items
    assert item.HasField("translation"), item


def _milliseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)
