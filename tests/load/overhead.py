"""What serving adds to a single request: how long a call takes, and how much of it the engine does."""

from __future__ import annotations

import time
from dataclasses import dataclass

from server.evaluation.serving import serving
from tests.load.grpc_requests import requests_of
from tests.load.subjects import Subject
from tests.running_server import scrape
from traghetto import Client
from traghetto.pb.translation.v1 import translation_pb2 as pb

_NUM_SENTENCES = 40
_NUM_TURNS = 5  # after a warm-up
_ENGINE_STAGES = ("queue", "encode", "decode")


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Means over single greedy requests, one at a time.

    Args:
        client_milliseconds: From call to answer in a Python client.
        server_milliseconds: From a call's arrival to its answer in the server.
        engine_milliseconds: Of these, from the hand-over to the engine to its result.
    """

    client_milliseconds: float
    server_milliseconds: float
    engine_milliseconds: float

    @property
    def added_milliseconds(self) -> float:
        """What the server adds to the engine's time."""
        return self.server_milliseconds - self.engine_milliseconds


def single_request_overhead(subject: Subject) -> Overhead:
    """Measure it on a server of the subject's artifact that has nothing else to do."""
    requests = requests_of(subject.first(_NUM_SENTENCES))
    with serving(subject.artifact) as places, Client(places["grpc"]) as client:
        for request in requests:
            _translate(client, request)
        before, started = _engine_and_server_seconds(places["metrics"]), time.perf_counter()
        for request in requests * _NUM_TURNS:
            _translate(client, request)
        seconds, after = time.perf_counter() - started, _engine_and_server_seconds(places["metrics"])
    milliseconds = 1000 / (len(requests) * _NUM_TURNS)
    return Overhead(
        client_milliseconds=seconds * milliseconds,
        server_milliseconds=(after[1] - before[1]) * milliseconds,
        engine_milliseconds=(after[0] - before[0]) * milliseconds,
    )


def _translate(client: Client, request: pb.TranslateRequest) -> None:
    client.translate(
        request.texts,
        request.source_language,
        request.target_language,
        beam_size=request.options.beam_size,
        max_target_tokens=request.options.max_target_tokens,
        skip_scores=request.options.skip_scores,
        segmentation="none",
    )


def _engine_and_server_seconds(page: str) -> tuple[float, float]:
    """Of all calls so far, from the server's own metrics."""
    series = scrape(page)
    stages = (f'translator_stage_duration_seconds_sum{{stage="{stage}"}}' for stage in _ENGINE_STAGES)
    handled = (v for k, v in series.items() if k.startswith("grpc_server_handling_seconds_sum"))
    return sum(series[stage] for stage in stages), sum(handled)
