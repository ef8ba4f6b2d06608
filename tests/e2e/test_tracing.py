"""Spans of a real server, as a real collector gets them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.otlp_collector import Collector, run_collector
from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

NUM_LONG = 40
PATIENCE_SECONDS = 120.0
SERVICE = "translation.v1.TranslationService"
STAGES = ["validate", "tokenize", "queue", "encode", "decode", "detokenize"]
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MakeRequest = Callable[..., pb.TranslateRequest]
Connect = Callable[[RunningServer], pb_grpc.TranslationServiceStub]


def caller(trace_id: str = TRACE_ID, *, is_sampled: bool = True) -> tuple[tuple[str, str], ...]:
    """Metadata of a caller that traces."""
    return (("traceparent", f"00-{trace_id}-{SPAN_ID}-0{int(is_sampled)}"),)


def attributes(span: Span) -> dict[str, Any]:
    values = {a.key: a.value for a in span.attributes}
    return {key: getattr(value, str(value.WhichOneof("value"))) for key, value in values.items()}


def exemplars(server: RunningServer) -> set[str]:
    """The trace ids on the buckets of the calls' latency."""
    request = urllib.request.Request(server.metrics, headers={"Accept": "application/openmetrics-text"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - our own
        assert page.headers["Content-Type"].startswith("application/openmetrics-text")
        text = page.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(s.name, s.exemplar.labels["trace_id"]) for s in samples if s.exemplar}
    assert {name for name, _ in found} <= {"grpc_server_handling_seconds_bucket"}
    return {trace_id for _, trace_id in found}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with run_collector() as running:
        yield running


def test_a_call_is_a_span_of_its_callers_trace_with_its_stages_inside(
    start_server: StartServer,
    artifact: Path,
    connect: Connect,
    make_request: MakeRequest,
    collector: Collector,
) -> None:
    with start_server(artifact, "--slots=4", f"--otlp-endpoint={collector.url}") as running:
        request = make_request("The cat is on the table.", "Good morning.", beam_size=2)
        (answer, call) = connect(running).Translate.with_call(
            request, metadata=(*caller(), ("x-request-id", "shop-42"))
        )
        running.settled()
        assert exemplars(running) == {TRACE_ID}
    assert dict(call.trailing_metadata())["x-request-id"] == "shop-42"
    (span,) = collector.wait_for_calls(1)
    assert span.name == f"{SERVICE}/Translate"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert span.status.code == Status.STATUS_CODE_UNSET
    found = [item.translation for item in answer.items]
    assert attributes(span) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/Translate",
        "rpc.response.status_code": "OK",
        "traghetto.request_id": "shop-42",
        "traghetto.texts": 2,
        "traghetto.model": "en-it",
        "traghetto.language_pair": "en-it",
        "traghetto.source_tokens": sum(translation.source_tokens for translation in found),
        "traghetto.target_tokens": sum(translation.target_tokens for translation in found),
        "traghetto.search": "beam",
        "traghetto.beam_size": 2,
    }
    children = collector.children(span)
    assert [child.name for child in sorted(children, key=lambda c: STAGES.index(c.name))] == STAGES
    at = {child.name: (child.start_time_unix_nano, child.end_time_unix_nano) for child in children}
    for child in children:
        assert child.trace_id == span.trace_id
        assert span.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= span.end_time_unix_nano
    for earlier, later in (("validate", "tokenize"), ("tokenize", "queue"), ("decode", "detokenize")):
        assert at[earlier][1] <= at[later][0]
    for earlier, later in (("queue", "encode"), ("encode", "decode")):
        assert at[earlier][0] <= at[later][0]
        assert at[earlier][1] <= at[later][1]


def test_refused_and_cut_off_calls_are_spans_too_and_only_faults_are_errors(
    start_server: StartServer,
    artifact: Path,
    connect: Connect,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
    collector: Collector,
) -> None:
    arguments = ("--slots=1", "--queue-late-calls", f"--otlp-endpoint={collector.url}")
    with start_server(artifact, *arguments) as running:
        stub = connect(running)
        with pytest.raises(grpc.RpcError):
            stub.Translate(make_request("Yes.", pair="en-de"))
        long = [stub.Translate.future(long_request) for _ in range(NUM_LONG)]
        running.wait_until_running(1)
        with pytest.raises(grpc.RpcError):
            stub.Translate(make_request("Yes."), timeout=0.5)
        for call in long:
            call.cancel()
        running.settled()
        stub.ListModels(pb.ListModelsRequest())
    spans = collector.wait_for_calls(NUM_LONG + 3)
    found = {
        (attributes(span)["rpc.response.status_code"], span.name.rpartition("/")[2]): span for span in spans
    }
    found.pop(("OK", "Translate"), None)  # as many of the long ones as the time allowed
    assert {key: span.status.code for key, span in found.items()} == {
        ("NOT_FOUND", "Translate"): Status.STATUS_CODE_UNSET,
        ("DEADLINE_EXCEEDED", "Translate"): Status.STATUS_CODE_ERROR,
        ("CANCELLED", "Translate"): Status.STATUS_CODE_UNSET,
        ("OK", "ListModels"): Status.STATUS_CODE_UNSET,
    }
    assert not any(span.status.message or span.events for span in spans)
    late = found["DEADLINE_EXCEEDED", "Translate"]
    cancelled = [s for s in spans if attributes(s)["rpc.response.status_code"] == "CANCELLED"]
    assert {child.name for child in collector.children(late)} == {"validate", "tokenize", "queue"}
    stages = [{child.name for child in collector.children(span)} for span in cancelled]
    assert set(STAGES) - {"detokenize"} in stages, "one was running"
    for span in (late, *cancelled):
        assert all(c.end_time_unix_nano <= span.end_time_unix_nano for c in collector.children(span))


def test_the_caller_decides_what_is_traced_and_the_ratio_where_it_does_not(
    start_server: StartServer,
    artifact: Path,
    connect: Connect,
    make_request: MakeRequest,
    collector: Collector,
) -> None:
    arguments = (f"--otlp-endpoint={collector.url}", "--trace-ratio=0")
    with start_server(artifact, *arguments) as running:
        stub = connect(running)
        stub.Translate(make_request("Yes."))
        stub.Translate(make_request("Yes."), metadata=caller("a" * 32, is_sampled=False))
        stub.Translate(make_request("Yes."), metadata=caller("b" * 32))
        with grpc.insecure_channel(running.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), metadata=caller("c" * 32))
        running.settled()
        assert exemplars(running) == {"b" * 32, "c" * 32}
    assert [span.trace_id.hex() for span in collector.wait_for_calls(1)] == ["b" * 32]
    (resource,) = {request.resource_spans[0].resource.SerializeToString() for request in collector.requests}
    assert b"traghetto" in resource


def test_without_tracing_the_exemplar_is_the_trace_that_the_caller_keeps(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    with start_server(artifact, "--log-format=json") as running:
        stub = connect(running)
        for metadata in ((), caller("a" * 32, is_sampled=False), (("traceparent", "00-nonsense"),)):
            stub.Translate(make_request("Yes."), metadata=metadata)
        stub.Translate(make_request("Yes."), metadata=caller("b" * 32))
        running.settled()
        assert exemplars(running) == {"b" * 32}
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    traces = [line.get("trace_id") for line in lines if line["logger"] == "traghetto.call"]
    assert traces == [None, None, None, "b" * 32]


def test_a_collector_that_is_away_harms_no_call_and_no_stop(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    with start_server(artifact, "--otlp-endpoint=http://127.0.0.1:1") as running:
        assert connect(running).Translate(make_request("Yes.")).items[0].translation.text
        assert running.terminate() == 0


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    check = "import server.commands.serve, sys; assert not [m for m in sys.modules if 'opentelemetry' in m]"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=PATIENCE_SECONDS)


def test_tracing_without_its_packages_is_refused_with_what_to_install(artifact: Path) -> None:
    arguments = ["traghetto-serve", str(artifact), "--otlp-endpoint=http://127.0.0.1:1"]
    start = (
        f"import sys; sys.modules['opentelemetry'] = None; sys.argv = {arguments}; "
        "from server.commands.serve import main; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 2
    assert "--otlp-endpoint needs the extra 'trace'" in ended.stderr
    assert "Traceback" not in ended.stderr
