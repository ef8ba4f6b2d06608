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
REFUSED = 'translator_requests_rejected_total{reason="queue_full"}'
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


@pytest.fixture(scope="module")
def crowded_server(start_server: StartServer, artifact: Path) -> Iterator[RunningServer]:
    with start_server(artifact, "--slots=1", "--max-queue=4") as running:
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
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    retry = error_details_pb2.RetryInfo()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() > 0
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
