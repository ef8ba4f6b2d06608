"""Every series of the page after traffic that is known: its exact growth, and none that is forgotten."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from server.telemetry.metrics import Metrics
from tests.e2e.known_traffic import (
    CANCELLED,
    CANCELLED_CALLS,
    CROWDED,
    ENDED_CALLS,
    MAX_QUEUE,
    NUM_WAITING,
    crowded_traffic,
    serial_traffic,
)
from tests.e2e.poisoned import poison
from tests.programs import program, run
from tests.running_server import StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
LONG_TOKENS = 203  # of the long request's text
PREFIXES = ("grpc_server_", "translator_")
ENDED = 'translator_finished_total{reason="length"}'
# What stands still or goes up and down: asserted one by one below.
GAUGES = {
    "translator_access_file_refused",
    "translator_build_info",
    "translator_execution_provider_info",
    "translator_model_info",
    "translator_model_load_seconds",
    "translator_model_loaded",
    "translator_model_warm_up_seconds",
    "translator_queue_limit_requests",
    "translator_queue_requests",
    "translator_queue_tokens",
    "translator_running_sequences",
    "translator_slots",
    "translator_tls_certificate_expiry_timestamp_seconds",
}
# What no traffic of this file makes grow, and where it does.
ELSEWHERE = {
    "translator_abandoned_calls_total": "test_connections.py",
    'translator_requests_rejected_total{reason="permission"}': "tests/unit/server/api/test_access.py",
    'translator_requests_rejected_total{reason="quota"}': "tests/unit/server/api/test_access.py",
    'translator_requests_rejected_total{reason="unauthenticated"}': "tests/unit/server/api/test_access.py",
    "translator_closed_connections_total": "test_connections.py",
    'translator_inference_errors_total{kind="cuda"}': "a machine with a GPU that fails",
    'translator_inference_errors_total{kind="internal"}': "tests/unit/server/work/test_worker.py",
    'translator_inference_errors_total{kind="out_of_memory"}': "a machine without memory",
    'translator_model_loads_total{outcome="failed"}': "test_on_demand.py",
    'translator_model_loads_total{outcome="loaded"}': "test_on_demand.py",
    'translator_model_loads_total{outcome="no_memory"}': "test_on_demand.py",
    'translator_model_unloads_total{reason="idle"}': "test_on_demand.py",
    'translator_model_unloads_total{reason="room"}': "test_on_demand.py",
    'translator_model_reloads_total{outcome="loaded"}': "test_reload.py",
    'translator_model_reloads_total{outcome="refused"}': "test_reload.py",
    'translator_model_reloads_total{outcome="unchanged"}': "test_reload.py",
    'translator_requests_rejected_total{reason="deadline"}': "test_rejections.py",
    'translator_requests_rejected_total{reason="draining"}': "test_rejections.py",
    'translator_requests_rejected_total{reason="model_load"}': "test_on_demand.py",
    'translator_requests_rejected_total{reason="model_memory"}': "test_on_demand.py",
    'translator_requests_rejected_total{reason="overload"}': "test_overload.py",
    'translator_warnings_total{reason="glossary"}': "tests/unit/server/translation/test_glossary.py",
    'translator_warnings_total{reason="markup"}': "tests/unit/server/documents/markup/test_xml.py",
    'translator_warnings_total{reason="not_covered"}': "tests/unit/server/translation/test_coverage.py",
    'translator_warnings_total{reason="repetition"}': "tests/unit/server/documents/test_guards.py",
    'translator_warnings_total{reason="source_copied"}': "tests/unit/server/documents/test_guards.py",
    'translator_warnings_total{reason="too_long"}': "tests/unit/server/documents/test_guards.py",
    'translator_warnings_total{reason="wrong_script"}': "tests/unit/server/documents/test_scripts.py",
}
MakeRequest = Callable[..., pb.TranslateRequest]


@dataclass(frozen=True)
class Traffic:
    """The pages around it.

    Args:
        serial: Growth that one call after the other caused.
        expected: What it must be.
        crowded: Growth that calls side by side caused.
        gauges: The page while one sequence ran and two waited.
        page, text: The last one.
    """

    serial: dict[str, float]
    expected: dict[str, float]
    crowded: dict[str, float]
    gauges: dict[str, float]
    page: dict[str, float]
    text: str


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Of our own series, those that have grown; a histogram of times only in its count."""
    grown = {series: value - before.get(series, 0.0) for series, value in after.items()}
    return {
        series: value
        for series, value in grown.items()
        if value
        and series.startswith(PREFIXES)
        and not series.startswith("translator_event_loop_lag")  # grows by itself
        and not ("_seconds" in series and ("_bucket" in series or "_sum" in series))
    }


@pytest.fixture(scope="module")
def traffic(
    start_server: StartServer,
    artifact: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> Iterator[Traffic]:
    folder = poison(artifact, tmp_path_factory.mktemp("artifacts") / "poisoned")
    with (
        start_server(folder, "--slots=1", f"--max-queue={MAX_QUEUE}", "--queue-late-calls") as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        stub = pb_grpc.TranslationServiceStub(channel)
        start = running.settled()
        expected = serial_traffic(stub, make_request)
        middle = running.settled()
        gauges = crowded_traffic(running, stub, make_request, long_request)
        page = running.settled()
        running.wait_until(lambda now: now["translator_event_loop_lag_seconds_count"] > 1)
        with urllib.request.urlopen(running.metrics, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
            text = answer.read().decode()
        yield Traffic(growth(start, middle), expected, growth(middle, page), gauges, page, text)


def test_calls_one_after_the_other_make_every_series_grow_by_what_they_did(traffic: Traffic) -> None:
    assert traffic.serial == traffic.expected


def test_calls_side_by_side_end_in_every_way(traffic: Traffic) -> None:
    exact = ("grpc_server_", "translator_finished", "translator_requests_rejected")
    counted = {series: value for series, value in traffic.crowded.items() if series.startswith(exact)}
    ended = counted.pop(ENDED, 0)  # as many as the time allowed
    assert counted.pop(ENDED_CALLS, 0) == ended
    assert counted == CROWDED | dict.fromkeys((CANCELLED, CANCELLED_CALLS), NUM_WAITING + 1 - ended)


def test_gauges_show_what_runs_and_waits(traffic: Traffic) -> None:
    model = '{model="en-it"}'
    shown = {
        name: traffic.gauges[f"translator_{name}{model}"]
        for name in ("queue_requests", "queue_tokens", "queue_limit_requests", "running_sequences", "slots")
    }
    assert shown == {
        "queue_requests": NUM_WAITING,
        "queue_tokens": NUM_WAITING * LONG_TOKENS,
        "queue_limit_requests": MAX_QUEUE,
        "running_sequences": 1,
        "slots": 1,
    }
    after = [traffic.page[f"translator_{name}{model}"] for name in ("queue_requests", "queue_tokens")]
    assert [*after, traffic.page[f"translator_running_sequences{model}"]] == [0, 0, 0]


def test_the_page_tells_what_was_loaded(traffic: Traffic) -> None:
    page = traffic.page
    ones = [series for series in page if "_info{" in series and series.startswith(PREFIXES)]
    assert {series.partition("{")[0]: page[series] for series in ones} == {
        "translator_build_info": 1,
        "translator_execution_provider_info": 1,
        "translator_model_info": 1,
    }
    assert page['translator_model_loaded{model="en-it"}'] == 1
    warm_up = page['translator_model_warm_up_seconds{model="en-it"}']
    assert page['translator_model_load_seconds{model="en-it"}'] > warm_up > 0
    assert page["translator_tls_certificate_expiry_timestamp_seconds"] == 0  # test_tls.py has another


def test_every_histogram_is_whole(traffic: Traffic) -> None:
    page = traffic.page
    counts = [name for name in page if "_count" in name and name.startswith(PREFIXES)]
    assert len(counts) > 10
    for name in counts:
        family, _, labels = name.partition("_count")
        parts = [part for part in labels.strip("{}").split(",") if part]
        infinite = [s for s in page if s.startswith(f"{family}_bucket{{") and 'le="+Inf"' in s]
        buckets = [page[series] for series in infinite if all(part in series for part in parts)]
        assert buckets == [page[name]], name


def test_the_page_is_well_formed_for_prometheus(traffic: Traffic) -> None:
    ended = run(program("promtool"), "check", "metrics", text=traffic.text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert "# {" not in traffic.text, "exemplars are for OpenMetrics alone"


def test_no_series_is_left_that_nothing_was_asserted_of(traffic: Traffic) -> None:
    """A new metric fails here until some traffic makes it grow by a number that a test knows."""
    known = {*traffic.expected, *CROWDED, CANCELLED, CANCELLED_CALLS, *ELSEWHERE}
    still = {
        series
        for series in traffic.page
        if series.startswith(PREFIXES)
        and series not in known
        and not any(part in series for part in ("_bucket", "_sum"))  # of histograms whose count is known
    }
    names = {series.partition("{")[0] for series in still}
    assert names == GAUGES | {"translator_event_loop_lag_seconds_count"}
    assert not [series for series in ELSEWHERE if traffic.page[series]]


def test_the_families_of_the_page_are_those_of_the_registry(traffic: Traffic) -> None:
    def ours(names: set[str]) -> set[str]:
        return {name for name in names if name.startswith(PREFIXES)}

    registered = {name.removesuffix("_total") for name in names_of(Metrics())}
    on_page = {series.partition("{")[0] for series in traffic.page}
    for suffix in ("_bucket", "_sum", "_count", "_total"):
        on_page = {name.removesuffix(suffix) for name in on_page}
    of_tenants = {name for name in registered if name.startswith("translator_tenant_")}  # here are none
    assert ours(on_page) == ours(registered) - of_tenants


def names_of(metrics: Metrics) -> set[str]:
    return {family.name for family in metrics.registry.collect()}
