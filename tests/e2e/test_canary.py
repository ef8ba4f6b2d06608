"""A word that is sent in every way, and where it must not turn up: logs, metrics, traces, refusals.

What may be told, and is: a refusal quotes to its own caller the language codes and the model's name that it
asked for; logs and traces have a request id that has the form of one.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.otlp_collector import Collector, run_collector
from tests.e2e.poisoned import POISON, poison
from tests.raw_http2 import RawConnection
from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
CANARY = "Gorblatz"
REQUEST_ID = "canary-control-id"  # proves that the same search finds what is there
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
TRANSLATE = "/translation.v1.TranslationService/Translate"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


@pytest.fixture
def collector() -> Iterator[Collector]:
    with run_collector() as running:
        yield running


@pytest.fixture(scope="module")
def poisoned_artifact(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return poison(artifact, tmp_path_factory.mktemp("artifacts") / "poisoned")


def told(call: Callable[[], object]) -> str:
    """All that a refused call tells its caller: message, details, metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value  # a call too, which its type does not say
    metadata = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    return repr((error.code(), error.details(), error.debug_error_string(), metadata))


def in_texts(make_request: MakeRequest, attention: pb.AttentionOptions) -> list[pb.TranslateRequest]:
    """Requests that are answered, and some texts of which fail alone."""
    return [
        make_request(f"My {CANARY} is on the table."),
        make_request(CANARY, sampling=pb.Sampling(seed=1), attention=attention),
        make_request(CANARY, contrastive_search=pb.ContrastiveSearch()),
        make_request(f"{CANARY} {POISON}", CANARY),
        make_request(f"{CANARY} " * 300, segmentation=pb.SEGMENTATION_NONE),
        make_request(f"{CANARY} " * 300, CANARY * 4000, f"My {{{CANARY}}}\n is https://a.example/{CANARY}."),
        make_request(CANARY, max_target_tokens=1),
    ]


def in_refused(make_request: MakeRequest) -> list[pb.TranslateRequest]:
    """Requests that are refused for something else than their text."""
    return [
        make_request(*[CANARY] * 1025),
        make_request(CANARY, pair="en-de"),
        make_request(CANARY, pair="e-it"),
        make_request(CANARY, model="none"),
        make_request(CANARY, beam_size=-1, num_hypotheses=-1, length_penalty=float("nan")),
        make_request(*[f"{CANARY} " * 20] * 200, attention=pb.AttentionOptions(), beam_size=16),
        make_request(CANARY * (MAX_MESSAGE_BYTES // len(CANARY) + 1)),
    ]


def in_names(make_request: MakeRequest) -> list[pb.TranslateRequest]:
    """Requests whose refusal quotes what was asked for."""
    return [
        make_request("Yes.", pair=f"{CANARY}-it"),
        make_request("Yes.", pair=f"en-{CANARY}"),
        make_request("Yes.", pair=f"{CANARY}!-it"),
        make_request("Yes.", model=CANARY),
    ]


def in_metadata() -> list[tuple[tuple[str, str | bytes], ...]]:
    return [
        (("x-request-id", f"{CANARY} with spaces"),),
        (("x-request-id", CANARY * 20),),
        (("authorization", f"Bearer {CANARY}"), (f"x-{CANARY.lower()}", "1")),
        (("user-agent", CANARY), ("x-canary-bin", CANARY.encode())),
        (("traceparent", CANARY), ("tracestate", f"a={CANARY}"), ("baggage", f"a={CANARY}")),
        (("traceparent", TRACE), ("tracestate", f"{CANARY.lower()}={CANARY}")),
        (("grpc-trace-bin", CANARY.encode()), ("x-b3-traceid", CANARY)),
    ]


def cut_short(stub: Stub, running: RunningServer, long_request: pb.TranslateRequest) -> str:
    """Calls that time out, give up, or find the queue full; what they were told."""
    several = pb.TranslateRequest()
    several.CopyFrom(long_request)
    several.texts.extend(f"{text} {CANARY}" for text in [*long_request.texts] * 20)
    call = stub.Translate.future(several)
    running.wait_until_running(1)
    late = told(lambda: stub.Translate(several, timeout=0.5))
    full = told(
        lambda: stub.Translate(
            pb.TranslateRequest(source_language="en", target_language="it", texts=[CANARY] * 1024)
        )
    )
    call.cancel()
    running.wait_until_running(0)
    return late + full


def send_all(
    running: RunningServer, make_request: MakeRequest, long_request: pb.TranslateRequest
) -> tuple[str, str]:
    """Everything; what refusals of texts told, and what refusals of names told."""
    with grpc.insecure_channel(running.address) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        answers = [
            stub.Translate(request, metadata=(("x-request-id", REQUEST_ID),))
            for request in in_texts(make_request, pb.AttentionOptions())
        ]
        errors = [item.error for answer in answers for item in answer.items if item.HasField("error")]
        assert len(errors) == 2, "one fails in the model, one is too long"
        refusals = [told(partial(stub.Translate, request)) for request in in_refused(make_request)]
        raw = channel.unary_unary(TRANSLATE, request_serializer=bytes, response_deserializer=bytes)
        refusals += [told(partial(raw, data)) for data in malformed()]
        refusals.append(cut_short(stub, running, long_request))
        for metadata in in_metadata():
            _, call = stub.Translate.with_call(make_request("Yes."), metadata=metadata)
            refusals.append(repr((call.initial_metadata(), call.trailing_metadata())))
            stub.ListModels(pb.ListModelsRequest(), metadata=metadata)
        with suppress(grpc.RpcError):
            channel.unary_unary(f"/{CANARY}/{CANARY}", request_serializer=bytes)(b"")
        RawConnection(running.address, PATIENCE_SECONDS).leave(CANARY)
        names = [told(partial(stub.Translate, request)) for request in in_names(make_request)]
    return repr(errors) + "".join(refusals), "".join(names)


def malformed() -> list[bytes]:
    """No message, with the word in it."""
    text = CANARY.encode()
    return [b"\xff" + text, b"\x1a\xff\x01" + text, b"\x0a\x0a\xc3\x28" + text]


def page_of(running: RunningServer, accept: str) -> str:
    request = urllib.request.Request(running.metrics, headers={"Accept": accept})  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - our own
        return str(page.read().decode())


def has_canary(told_: str) -> bool:
    return re.search(CANARY, told_, re.IGNORECASE) is not None


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("log_level", ["debug", "info"])
def test_what_a_client_sends_is_told_to_nobody(
    start_server: StartServer,
    poisoned_artifact: Path,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
    collector: Collector,
    log_format: str,
    log_level: str,
) -> None:
    arguments = (
        f"--log-format={log_format}",
        f"--log-level={log_level}",
        "--slots=1",
        "--max-queue=1024",
        "--queue-late-calls",
    )
    with start_server(poisoned_artifact, *arguments, f"--otlp-endpoint={collector.url}") as running:
        refusals, names = send_all(running, make_request, long_request)
        page = running.settled()
        pages = [page_of(running, accept) for accept in ("text/plain", "application/openmetrics-text")]
    log = running.log.read_text()
    spans = "".join(map(repr, collector.requests)) + "".join(
        str(request.SerializeToString()) for request in collector.requests
    )
    assert not has_canary(refusals)
    assert names.count(CANARY) >= 4, "a refusal quotes what was asked for"
    assert not any(map(has_canary, pages))
    assert not has_canary(log)
    assert not has_canary(spans)
    assert log.count(REQUEST_ID) == 7, "the log tells of calls"
    assert spans.count(REQUEST_ID) == 14, "and so do spans, searched twice"
    assert '# {trace_id="' in pages[1], "and the page shows an exemplar"
    assert TRACE.split("-")[1] in log
    calls = sum(value for series, value in page.items() if series.startswith("grpc_server_started_total"))
    assert log.count("traghetto.call") == len(collector.wait_for_calls(int(calls))) == calls
