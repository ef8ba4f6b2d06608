"""Every series of the page after traffic that is known: its exact growth, and none that is forgotten."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import code_pb2
from prometheus_client.parser import text_string_to_metric_families

from server.call import Call
from server.config import ServerConfig
from server.errors import DeadlineExceeded
from server.interceptor import CallInterceptor
from server.metrics import RATIOS, REJECT_REASONS, SEQUENCES, TOKENS, Metrics
from server.models import LoadedModel, Models, load_model
from server.pb.translation.v1 import translation_pb2 as pb
from server.pb.translation.v1 import translation_pb2_grpc as pb_grpc
from server.service import TranslationService
from tests.e2e.poisoned import POISON, poison

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningServer, StartServer

PATIENCE_SECONDS = 120.0
NUM_WAITING, MAX_QUEUE = 19, 20
LONG_TOKENS = 203  # of the long request's text
PREFIXES = ("grpc_server_", "translator_")
RPC = 'grpc_method="{}",grpc_service="translation.v1.TranslationService",grpc_type="unary"'
TRANSLATE, LIST_MODELS = RPC.format("Translate"), RPC.format("ListModels")
# What stands still or goes up and down: asserted one by one below.
GAUGES = {
    "translator_build_info",
    "translator_execution_provider_info",
    "translator_model_info",
    "translator_model_load_seconds",
    "translator_queue_limit_requests",
    "translator_queue_requests",
    "translator_queue_tokens",
    "translator_running_sequences",
    "translator_slots",
}
# What no traffic of this file makes grow, and where it does.
ELSEWHERE = {
    'translator_inference_errors_total{kind="cuda"}': "a machine with a GPU that fails",
    'translator_inference_errors_total{kind="out_of_memory"}': "a machine without memory",
    'translator_requests_rejected_total{reason="deadline"}': "test_a_call_whose_deadline_passed_...",
    'translator_requests_rejected_total{reason="draining"}': "test_a_call_that_meets_a_draining_model_...",
}
MakeRequest = Callable[..., pb.TranslateRequest]
Connect = Callable[["RunningServer"], pb_grpc.TranslationServiceStub]


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


def histogram(name: str, labels: str, values: Sequence[float], edges: Sequence[float]) -> dict[str, float]:
    """What a histogram of these values shows; without the buckets that stay empty."""
    found = {f"{name}_count": float(len(values)), f"{name}_sum": float(sum(values))}
    for i, edge in enumerate((*edges, float("inf"))):
        count = sum(bisect_left(edges, value) <= i for value in values)
        if count:
            found[f'{name}_bucket{{le="{float(edge) if edge != float("inf") else "+Inf"}"}}'] = float(count)
    return {_with(series, labels): value for series, value in found.items() if value}


def _with(series: str, labels: str) -> str:
    if not labels:
        return series
    return series.replace("}", f",{labels}}}") if "{" in series else f"{series}{{{labels}}}"


def serial_traffic(stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest) -> dict[str, float]:
    """Greedy, one text at a time, so that each step is known; what it must count."""
    texts = ("Good morning.", "", "cat " * 300)
    done = [stub.Translate(make_request(*texts, beam_size=1)).items[0].translation]
    done += [
        item.translation
        for text, limit in (("The cat is on the table.", 40), ("Good morning.", 1))
        for item in stub.Translate(make_request(text, beam_size=1, max_target_tokens=limit)).items
    ]
    stub.ListModels(pb.ListModelsRequest())
    for request in (make_request(), make_request("Yes.", pair="en-de")):
        with pytest.raises(grpc.RpcError):
            stub.Translate(request)
    (failed,) = stub.Translate(make_request(POISON, beam_size=1)).items
    assert failed.error.code == code_pb2.INTERNAL
    sources = [translation.source_tokens for translation in done]
    targets = [translation.target_tokens for translation in done]
    num_poisoned = 4  # the tag, a space, the piece, the end
    encoded = [*sources, num_poisoned]
    steps = sum(targets)  # the poisoned one has none
    return {
        f"grpc_server_started_total{{{TRANSLATE}}}": 6,
        f"grpc_server_started_total{{{LIST_MODELS}}}": 1,
        f'grpc_server_handled_total{{grpc_code="OK",{TRANSLATE}}}': 4,
        f'grpc_server_handled_total{{grpc_code="INVALID_ARGUMENT",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="NOT_FOUND",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="OK",{LIST_MODELS}}}': 1,
        f"grpc_server_handling_seconds_count{{{TRANSLATE}}}": 6,
        f"grpc_server_handling_seconds_count{{{LIST_MODELS}}}": 1,
        **{
            f'translator_stage_duration_seconds_count{{stage="{stage}"}}': count
            for stage, count in (
                *(("validate", 4), ("tokenize", 4), ("detokenize", 4)),  # calls
                *(("queue", 3), ("encode", 3), ("decode", 3)),  # sequences that took a slot
            )
        },
        'translator_batch_duration_seconds_count{phase="encode"}': 4,
        'translator_batch_duration_seconds_count{phase="decode_step"}': steps,
        **histogram("translator_batch_sequences", 'phase="encode"', [1] * 4, SEQUENCES),
        **histogram("translator_batch_sequences", 'phase="decode_step"', [1] * steps, SEQUENCES),
        **histogram(
            "translator_batch_padding_ratio",
            'phase="encode"',
            [1 - count / (-(-count // 8) * 8) for count in encoded],  # sources fill multiples of 8
            RATIOS,
        ),
        **histogram("translator_batch_padding_ratio", 'phase="decode_step"', [0] * steps, RATIOS),
        **histogram("translator_source_tokens", "", sources, TOKENS),
        **histogram("translator_target_tokens", "", targets, TOKENS),
        'translator_tokens_total{direction="source",language_pair="en-it"}': sum(sources),
        'translator_tokens_total{direction="target",language_pair="en-it"}': sum(targets),
        "translator_decode_steps_total": steps,
        'translator_finished_total{reason="eos"}': 2,
        'translator_finished_total{reason="length"}': 1,
        'translator_finished_total{reason="error"}': 1,
        'translator_requests_rejected_total{reason="invalid"}': 2,
        'translator_output_truncated_total{language_pair="en-it"}': 1,
        'translator_inference_errors_total{kind="runtime"}': 1,
    }


def crowded_traffic(
    running: RunningServer,
    stub: pb_grpc.TranslationServiceStub,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> dict[str, float]:
    """One sequence runs and the others wait; a call is refused, one is late, one gives up."""
    several = pb.TranslateRequest()
    several.CopyFrom(long_request)
    several.texts.extend([*long_request.texts] * NUM_WAITING)
    call = stub.Translate.future(several)
    meanwhile = running.wait_until(
        lambda page: (
            page['translator_running_sequences{model="en-it"}'] == 1
            and page['translator_queue_requests{model="en-it"}'] == NUM_WAITING
        )
    )
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(make_request(*["Yes."] * MAX_QUEUE))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(make_request("Good morning."), timeout=1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    running.wait_until(lambda page: page['translator_finished_total{reason="deadline"}'] == 1)
    call.cancel()
    running.wait_until_running(0)
    return meanwhile


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
        start_server(folder, "--slots=1", f"--max-queue={MAX_QUEUE}") as running,
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


def test_calls_side_by_side_fill_the_queue_and_end_in_every_way(traffic: Traffic) -> None:
    exact = ("grpc_server_", "translator_finished", "translator_requests_rejected", "translator_tokens")
    ended = traffic.crowded.get('translator_finished_total{reason="length"}', 0)
    counted = {series: value for series, value in traffic.crowded.items() if series.startswith(exact)}
    counted.pop('translator_finished_total{reason="length"}', None)  # as many as the time allowed
    assert counted == {
        f"grpc_server_started_total{{{TRANSLATE}}}": 3,
        f"grpc_server_handling_seconds_count{{{TRANSLATE}}}": 3,
        f'grpc_server_handled_total{{grpc_code="CANCELLED",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="DEADLINE_EXCEEDED",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="RESOURCE_EXHAUSTED",{TRANSLATE}}}': 1,
        'translator_finished_total{reason="cancelled"}': NUM_WAITING + 1 - ended,
        'translator_finished_total{reason="deadline"}': 1,
        'translator_requests_rejected_total{reason="queue_full"}': 1,
    }


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
    assert page['translator_model_load_seconds{model="en-it"}'] > 0


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
    promtool = shutil.which("promtool")
    assert promtool, "install promtool, Prometheus' own tool: apt-get install prometheus"
    ended = subprocess.run(
        [promtool, "check", "metrics"], input=traffic.text, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert "# {" not in traffic.text, "exemplars are for OpenMetrics alone"
    assert {family.name for family in text_string_to_metric_families(traffic.text)} >= {"process_cpu_seconds"}


def test_no_series_is_left_that_nothing_was_asserted_of(traffic: Traffic) -> None:
    """A new metric fails here until some traffic makes it grow by a number that a test knows."""
    known = {*traffic.expected, *traffic.crowded, *ELSEWHERE}
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
    assert ours(on_page) == ours(registered)


def names_of(metrics: Metrics) -> set[str]:
    return {family.name for family in metrics.registry.collect()}


@dataclass(frozen=True)
class Loaded:
    """A model in the test's own process, so that the test can reach it, and the service in front of it."""

    model: LoadedModel
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
    model = load_model(artifact, config, metrics)
    yield Loaded(model, TranslationService(Models([model]), config, metrics), metrics)
    model.worker.stop()


def test_a_call_that_meets_a_draining_model_is_refused_and_counted(
    loaded: Loaded, make_request: MakeRequest
) -> None:
    async def run() -> grpc.StatusCode:
        server = grpc.aio.server(interceptors=[CallInterceptor(loaded.metrics)])
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


def test_a_call_whose_deadline_passed_before_it_could_wait_is_refused_and_counted(loaded: Loaded) -> None:
    call = Call("translation.v1.TranslationService", "Translate", "id")
    with pytest.raises(DeadlineExceeded):
        asyncio.run(loaded.service._run(call, loaded.model, {}, time.monotonic()))
    assert loaded.rejected() == {"deadline": 1}
