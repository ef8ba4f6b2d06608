"""A full queue sheds load, and loses nothing that it accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.running_server import RunningServer, StartServer
from traghetto import Client
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc
from traghetto.responses import results_of

PATIENCE_SECONDS = 120.0
NUM_LONG = 16
REFUSED = 'translator_requests_rejected_total{reason="queue_full"}'
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


def retry_seconds(error: grpc.RpcError) -> float:
    """When a call that is refused for load is told to come back."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    retry = error_details_pb2.RetryInfo()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status.details[0].Unpack(retry)
    return float(retry.retry_delay.ToTimedelta().total_seconds())


@pytest.fixture(scope="module")
def crowded_server(start_server: StartServer, artifact: Path) -> Iterator[RunningServer]:
    with start_server(artifact, "--slots=1", "--max-queue=4") as running:
        yield running


@pytest.fixture
def crowded_queue(start_server: StartServer, artifact: Path) -> Iterator[RunningServer]:
    """One text at a time, and room for many that wait."""
    with start_server(artifact, "--slots=1", "--runners=1") as running:
        yield running


def test_a_full_queue_refuses_and_says_when_to_come_back_and_loses_none_it_accepted(
    crowded_server: RunningServer,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> None:
    stub = connect(crowded_server)
    running = stub.Translate.future(long_request)
    crowded_server.wait_until_running(1)
    accepted = [stub.Translate.future(make_request(text)) for text in ("Yes.", "No.", "Perhaps.")]
    crowded_server.wait_until_queued(3)
    before = crowded_server.scrape()[REFUSED]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(make_request("Hello!", "Thanks."))
    assert retry_seconds(caught.value) > 0
    assert crowded_server.scrape()[REFUSED] == before + 1
    accepted.append(stub.Translate.future(make_request("Hello!")))
    with Client(crowded_server.address, timeout_seconds=PATIENCE_SECONDS) as client:
        patient = client.translate(["Hello!", "Thanks."], "en", "it")  # comes back until there is room
    assert all(call.result(PATIENCE_SECONDS).items[0].translation.text for call in accepted)
    assert running.result(PATIENCE_SECONDS).items[0].translation.text
    assert crowded_server.scrape()["translator_decode_steps_total"] > 200, "find a text that takes longer"
    assert patient == results_of(stub.Translate(make_request("Hello!", "Thanks.")))


def test_a_call_that_no_queue_could_take_is_invalid(
    crowded_server: RunningServer, connect: Callable[[RunningServer], Stub], make_request: MakeRequest
) -> None:
    stub = connect(crowded_server)
    with pytest.raises(grpc.RpcError, match="5 texts") as caught:
        stub.Translate(make_request(*["Yes."] * 5))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(stub.Translate(make_request(*["Yes."] * 4)).items) == 4


def test_a_call_that_would_be_late_is_refused_at_once_and_told_when_to_come_back(
    crowded_queue: RunningServer,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> None:
    stub = connect(crowded_queue)
    waiting = [stub.Translate.future(long_request) for _ in range(NUM_LONG)]
    crowded_queue.wait_until_queued(NUM_LONG - 1)
    crowded_queue.wait_until(lambda page: page["translator_decode_steps_total"] > 100)  # it knows its pace
    with pytest.raises(grpc.RpcError, match="is expected to take") as caught:
        stub.Translate(make_request("Yes."), timeout=0.5)
    metadata = caught.value.trailing_metadata()
    (pushback,) = [item.value for item in metadata if item.key == "grpc-retry-pushback-ms"]
    assert float(pushback) == pytest.approx(1000 * retry_seconds(caught.value), abs=1)
    assert crowded_queue.scrape()['translator_requests_rejected_total{reason="overload"}'] == 1
    assert stub.Translate(make_request("Yes."), timeout=PATIENCE_SECONDS).items, "with more time it is taken"
    for call in waiting:
        call.cancel()


def test_one_text_does_not_wait_for_the_many_of_another_call(
    crowded_queue: RunningServer,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> None:
    """The many are one call, or of bulk priority; from the same client in both cases."""
    stub = connect(crowded_queue)
    for many in (
        pb.TranslateRequest(
            source_language="en",
            target_language="it",
            texts=[*long_request.texts] * NUM_LONG,
            options=long_request.options,
        ),
        pb.TranslateRequest(
            source_language="en",
            target_language="it",
            texts=[*long_request.texts] * 4,
            options=long_request.options,
            priority=pb.PRIORITY_BULK,
        ),
    ):
        crowd = stub.Translate.future(many)
        crowded_queue.wait_until_running(1)
        assert stub.Translate(make_request("Yes."), timeout=PATIENCE_SECONDS).items[0].translation.text
        assert not crowd.done()
        crowd.cancel()
        crowded_queue.wait_until_running(0)


def test_a_call_without_a_deadline_has_the_servers_time_limit(
    start_server: StartServer,
    artifact: Path,
    connect: Callable[[RunningServer], Stub],
    long_request: pb.TranslateRequest,
) -> None:
    with start_server(artifact, "--slots=1", "--time-limit-seconds=0.01") as running:
        stub = connect(running)
        with pytest.raises(grpc.RpcError, match=r"time limit of 0\.01 s") as caught:
            stub.Translate(long_request)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert stub.Translate(long_request, timeout=PATIENCE_SECONDS).items, "it is for those without one"
