"""TranslateStream on the real server: all answers, faults, a slow reader, a client that leaves, a drain."""

from __future__ import annotations

import queue
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tests.running_server import PATIENCE_SECONDS, RECURRENT, RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

STREAM = (
    'grpc_method="TranslateStream",grpc_service="translation.v1.TranslationService",grpc_type="bidi_stream"'
)
SENTENCES = ("The cat is on the table.", "Good morning!", "", "I like 7 apples. And you?")
MakeRequest = Callable[..., pb.TranslateRequest]
Connect = Callable[[RunningServer], pb_grpc.TranslationServiceStub]


def config(*texts: str, in_order: bool = False, request: pb.TranslateRequest) -> pb.TranslateStreamRequest:
    return pb.TranslateStreamRequest(config=request, in_order=in_order, texts=numbered(texts))


def numbered(texts: Iterable[str], first: int = 0) -> list[pb.StreamText]:
    return [pb.StreamText(id=i, text=text) for i, text in enumerate(texts, first)]


def items_of(answers: Iterable[pb.TranslateStreamResponse]) -> dict[int, pb.TranslationItem]:
    found: dict[int, pb.TranslationItem] = {}
    for answer in answers:
        assert len(answer.ids) == len(answer.response.items)
        for i, item in zip(answer.ids, answer.response.items, strict=True):
            assert i not in found
            found[i] = item
    return found


@pytest.mark.parametrize("in_order", [True, False])
def test_a_stream_translates_as_a_call_does(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest, *, in_order: bool
) -> None:
    def messages() -> Iterator[pb.TranslateStreamRequest]:
        yield config(in_order=in_order, request=make_request(beam_size=1))
        for first in range(0, 40, 4):
            yield pb.TranslateStreamRequest(texts=numbered(SENTENCES, first))

    alone = stub.Translate(make_request(*SENTENCES, beam_size=1))
    answers = list(stub.TranslateStream(messages(), timeout=PATIENCE_SECONDS))
    items = items_of(answers)
    assert sorted(items) == list(range(40))
    assert list(items) == sorted(items) or not in_order
    for i, item in items.items():
        assert item.translation.text == alone.items[i % 4].translation.text
    assert {answer.response.model.sha256 for answer in answers} == {alone.model.sha256}


def test_the_source_language_of_each_text_can_be_found(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest
) -> None:
    texts = ("The cat is on the table, and it sleeps.", "x" * 5)
    request = make_request(pair="auto-it", beam_size=1)
    items = items_of(stub.TranslateStream(iter([config(*texts, request=request)]), timeout=PATIENCE_SECONDS))
    assert items[0].translation.detected_language.language == "en"
    assert sorted(items) == [0, 1]


def test_a_fault_of_one_text_is_its_item(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest
) -> None:
    texts = ("Yes.", "a.\n" * 20_000, "No.")
    request = make_request(beam_size=1)
    items = items_of(stub.TranslateStream(iter([config(*texts, request=request)]), timeout=PATIENCE_SECONDS))
    assert [items[i].WhichOneof("result") for i in range(3)] == ["translation", "error", "translation"]
    assert items[1].error.code == code_pb2.INVALID_ARGUMENT
    assert "16384" in items[1].error.message


def violations(error: Any) -> list[str]:
    (packed,) = (value for name, value in error.trailing_metadata() if name == "grpc-status-details-bin")
    request = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(request)
    return sorted(violation.field for violation in request.field_violations)


def test_a_fault_of_the_configuration_ends_the_call_before_a_text_is_read(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest
) -> None:
    good, late = make_request(), config(request=make_request())
    wrong = {
        ("config",): [pb.TranslateStreamRequest(texts=numbered(["Yes."]))],
        ("config.texts",): [config(request=make_request("Yes."))],
        ("config.options.beam_size", "config.source_language"): [
            config("Yes.", request=make_request(pair="1-it", beam_size=99))
        ],
        ("texts",): [config(*["Yes."] * 1025, request=good)],
        ("config", "config"): [late, late],
    }
    for fields, messages in wrong.items():
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.TranslateStream(iter(messages), timeout=PATIENCE_SECONDS))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert tuple(violations(caught.value)) == tuple(dict.fromkeys(fields))
    with pytest.raises(grpc.RpcError) as caught:
        list(
            stub.TranslateStream(iter([config(request=make_request(pair="en-de"))]), timeout=PATIENCE_SECONDS)
        )
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_client_that_does_not_read_is_not_read_from(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest
) -> None:
    num_sent = 0

    def messages() -> Iterator[pb.TranslateStreamRequest]:
        nonlocal num_sent
        yield config(request=make_request(beam_size=1))
        for i in range(100_000):  # 400 MB of what is copied, so that no model takes time
            num_sent += 1
            yield pb.TranslateStreamRequest(texts=numbered(["#" * 4000], i))

    call = stub.TranslateStream(messages())
    earlier = -1
    while num_sent > earlier:
        earlier = num_sent
        time.sleep(0.5)
    call.cancel()
    assert 0 < num_sent < 20_000


def test_a_client_that_leaves_frees_its_slots(
    server: RunningServer, stub: pb_grpc.TranslationServiceStub, long_request: pb.TranslateRequest
) -> None:
    request = pb.TranslateRequest()
    request.CopyFrom(long_request)
    del request.texts[:]
    call = stub.TranslateStream(iter([config(*[*long_request.texts] * 50, request=request)]))
    server.wait_until(lambda page: page['translator_running_sequences{model="en-it"}'] > 0)
    call.cancel()
    server.wait_until_running(0)
    server.wait_until_queued(0)
    cancelled = f'grpc_server_handled_total{{grpc_code="CANCELLED",{STREAM}}}'
    server.wait_until(lambda page: page.get(cancelled, 0) > 0)
    assert re.search(r"method=TranslateStream code=CANCELLED .*texts=50 model=en-it", server.log.read_text())


def test_a_server_that_stops_answers_what_it_has_read(
    start_server: StartServer, connect: Connect, make_request: MakeRequest
) -> None:
    sent: queue.SimpleQueue[pb.TranslateStreamRequest | None] = queue.SimpleQueue()
    with start_server(RECURRENT, "--slots=2") as running:
        call = connect(running).TranslateStream(iter(sent.get, None), timeout=PATIENCE_SECONDS)
        sent.put(config(*["Good morning. " * 3] * 30, request=make_request(beam_size=4)))
        running.wait_until(lambda page: page.get('translator_running_sequences{model="en-it-lstm"}', 0) > 0)
        running.process.terminate()
        answers: list[pb.TranslateStreamResponse] = []
        with pytest.raises(grpc.RpcError) as caught:
            answers.extend(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "the server is stopping" in str(caught.value.details())
        assert sorted(items_of(answers)) == list(range(30))
        sent.put(None)
        assert running.process.wait(PATIENCE_SECONDS) == 0


def test_bytes_that_are_no_message_end_a_stream(server: RunningServer, make_request: MakeRequest) -> None:
    path = "/translation.v1.TranslationService/TranslateStream"
    first = config(request=make_request()).SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        raw = channel.stream_stream(path, request_serializer=bytes, response_deserializer=bytes)
        for messages in ([b"\xff"], [first, b"\xff"]):
            with pytest.raises(grpc.RpcError) as caught:
                list(raw(iter(messages), timeout=PATIENCE_SECONDS))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "does not parse" in str(caught.value.details())
