"""MLPerf LoadGen's Server scenario against a gRPC address: Poisson arrivals, one call a query.

The load generator and its client live in this process; the server is another. LoadGen measures a query from
the moment it was due, so a client that falls behind makes latencies longer, never shorter.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import mlperf_loadgen

from traghetto.pb.translation.v1 import translation_pb2 as pb

METHOD = f"/{pb.DESCRIPTOR.services_by_name['TranslationService'].full_name}/Translate"
LATENCY_BOUND_MILLISECONDS = 500.0
_PERCENTILE = 0.99
_MOST_DURATIONS = 4
_CALL_SECONDS = 60.0  # a call that takes longer is an error


@dataclass(frozen=True, kw_only=True)
class Load:
    """One measurement.

    Args:
        rate: Mean of the Poisson arrivals, in queries a second.
        seconds: Queries are issued for at least so long.
        min_queries: And at least so many; too few in four times `seconds` make the run invalid.
        seed: Of the arrivals and of the order of the requests: two servers get the same.
        max_outstanding_seconds: Gives up once as many queries are open as arrive in this time; 0 never does.
    """

    rate: float
    seconds: float = 20.0
    min_queries: int = 1000
    seed: int = 1
    max_outstanding_seconds: float = 0.0

    def settings(self) -> Any:
        """LoadGen's own form of it."""
        settings = mlperf_loadgen.TestSettings()
        settings.scenario = mlperf_loadgen.TestScenario.Server
        settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
        settings.server_target_qps = self.rate
        settings.server_target_latency_ns = round(1e6 * LATENCY_BOUND_MILLISECONDS)
        settings.server_target_latency_percentile = _PERCENTILE
        settings.server_max_async_queries = math.ceil(self.rate * self.max_outstanding_seconds)
        settings.min_duration_ms = round(1000 * self.seconds)
        settings.max_duration_ms = _MOST_DURATIONS * settings.min_duration_ms
        settings.min_query_count = self.min_queries
        settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = self.seed
        return settings


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a server made of a load; latencies are infinite where a query failed.

    Args:
        offered_rate: Queries a second as they were due.
        completed_rate: Queries a second as they were answered.
        target_tokens_per_second: Of all answers.
        num_errors: Calls or texts that failed; one makes the run invalid.
        is_valid: All queries were issued and answered, and the 99th percentile is within the bound.
        loadgen_verdict: LoadGen's own, which also asks for enough queries to be 99 % sure.
    """

    offered_rate: float
    completed_rate: float
    target_tokens_per_second: float
    num_queries: int
    num_errors: int
    p50_milliseconds: float
    p99_milliseconds: float
    p999_milliseconds: float
    is_valid: bool
    loadgen_verdict: str


class _Client:
    """Sends requests that are already bytes; answers arrive in a thread of gRPC's.

    Futures of the plain API: a query costs a fifth less of the processor than with `grpc.aio`.
    """

    def __init__(self, channel: grpc.Channel, requests: Sequence[bytes]) -> None:
        self._call: Any = channel.unary_unary(METHOD)  # bytes to bytes
        self._requests = requests
        self.answers: list[bytes] = []
        self.num_failed_calls = 0

    def warm_up(self) -> None:
        """Connect and call once."""
        self._call(self._requests[0], timeout=_CALL_SECONDS)

    def issue(self, samples: list[Any]) -> None:
        """LoadGen's callback."""
        for sample in samples:
            call = self._call.future(self._requests[sample.index], timeout=_CALL_SECONDS)
            call.add_done_callback(partial(self._done, sample.id))

    def _done(self, query: int, call: Any) -> None:
        if call.exception() is None:
            self.answers.append(call.result())
        else:
            self.num_failed_calls += 1
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(query, 0, 0)])


def offer(address: str, requests: Sequence[bytes], load: Load) -> LoadResult:
    """Offer a load to a server.

    Args:
        address: HOST:PORT.
        requests: Serialised TranslateRequests, drawn from at random.
    """
    with grpc.insecure_channel(address) as channel, tempfile.TemporaryDirectory() as folder:
        client = _Client(channel, requests)
        client.warm_up()
        _run(client, len(requests), load, Path(folder))
        return _result(_read_log(Path(folder) / "mlperf_log_detail.txt"), client, load)


def _run(client: _Client, num_requests: int, load: Load, folder: Path) -> None:
    def nothing(*_: object) -> None:
        """There is nothing to flush, load or unload."""

    log_settings = mlperf_loadgen.LogSettings()
    log_settings.log_output.outdir = str(folder)
    log_settings.enable_trace = False
    system = mlperf_loadgen.ConstructSUT(client.issue, nothing)
    library = mlperf_loadgen.ConstructQSL(num_requests, num_requests, nothing, nothing)
    try:
        mlperf_loadgen.StartTestWithLogSettings(system, library, load.settings(), log_settings)
    finally:
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(system)


def _read_log(path: Path) -> dict[str, Any]:
    """Key and value of each line; of a key that comes twice, the last."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line.partition(":::MLLOG ")[2]) for line in lines if line.startswith(":::MLLOG ")]
    return {entry["key"]: entry["value"] for entry in entries}


def _result(log: dict[str, Any], client: _Client, load: Load) -> LoadResult:
    responses = [pb.TranslateResponse.FromString(answer) for answer in client.answers]
    items = [item for response in responses for item in response.items]
    num_errors = client.num_failed_calls + sum(not item.HasField("translation") for item in items)
    completed_rate = log["result_completed_samples_per_sec"]
    p50, p99, p999 = (
        math.inf if num_errors else log[f"result_{percentile}_percentile_latency_ns"] / 1e6
        for percentile in ("50.00", "99.00", "99.90")
    )
    is_complete = log["result_min_duration_met"] and log["result_query_count"] >= load.min_queries
    num_tokens = sum(item.translation.target_tokens for item in items)
    return LoadResult(
        offered_rate=log["result_scheduled_samples_per_sec"],
        completed_rate=completed_rate,
        target_tokens_per_second=completed_rate * num_tokens / max(1, len(items)),
        num_queries=log["result_query_count"],
        num_errors=num_errors,
        p50_milliseconds=p50,
        p99_milliseconds=p99,
        p999_milliseconds=p999,
        is_valid=is_complete and not num_errors and p99 <= LATENCY_BOUND_MILLISECONDS,
        loadgen_verdict=log["result_validity"],
    )
