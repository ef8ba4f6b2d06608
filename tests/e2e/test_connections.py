"""Many calls at once, careful clients, clients that vanish, and clients that speak something else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.raw_http2 import TRANSLATE, RawConnection
from tests.running_server import (
    PATIENCE_SECONDS,
    RECURRENT,
    RunningServer,
    StartServer,
    long_request,
    make_request,
)
from traghetto import Client
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

# Together past 1,000 that wait to be looked at, where gRPC by itself begins to end some, and each past what
# one connection may have open.
NUM_CONNECTIONS, CALLS_OF_EACH = 10, 140


@pytest.fixture(scope="module")
def running(start_server: StartServer) -> Iterator[RunningServer]:
    with start_server(RECURRENT, "--slots=32", "--max-queue=8", "--min-ping-seconds=0.1") as server:
        yield server


def handled(page: dict[str, float]) -> dict[str, float]:
    """Calls of Translate by status code."""
    return {
        name.split('"')[1]: value
        for name, value in page.items()
        if name.startswith("grpc_server_handled_total") and 'grpc_method="Translate"' in name
    }


def test_each_call_of_a_burst_is_answered_and_counted(running: RunningServer) -> None:

    async def call(channel: grpc.aio.Channel) -> str:
        stub = pb_grpc.TranslationServiceStub(channel)
        try:
            await stub.Translate(make_request("Yes.", beam_size=1), timeout=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "OK"

    async def burst() -> Counter[str]:
        own = (("grpc.use_local_subchannel_pool", 1),)
        async with contextlib.AsyncExitStack() as stack:
            opened = [grpc.aio.insecure_channel(running.address, own) for _ in range(NUM_CONNECTIONS)]
            channels = [await stack.enter_async_context(channel) for channel in opened]
            return Counter(await asyncio.gather(*(call(c) for _ in range(CALLS_OF_EACH) for c in channels)))

    before = handled(running.settled())
    codes = asyncio.run(burst())
    assert codes.keys() <= {"OK", "RESOURCE_EXHAUSTED"}
    after = handled(running.settled())
    assert {code: after[code] - before.get(code, 0) for code in codes} == codes


def test_a_client_that_pings_often_keeps_its_call(running: RunningServer) -> None:
    """gRPC's own limit is a ping in five minutes: this stream would end at the third."""
    options = (
        ("grpc.keepalive_time_ms", 400),
        ("grpc.keepalive_timeout_ms", int(PATIENCE_SECONDS * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
    )
    with grpc.insecure_channel(running.address, options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are not typed
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=4)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_clients_that_vanish_leave_no_traceback(running: RunningServer) -> None:
    """That the log has none, the fixture asserts at the end."""
    program = (
        "import grpc, sys, time; from tests.running_server import *; "
        "from traghetto.pb.translation.v1 import translation_pb2_grpc as g; "
        "stub = g.TranslationServiceStub(grpc.insecure_channel(sys.argv[1])); "
        "calls = [stub.Translate.future(long_request()) for _ in range(30)]; "
        "print(1, flush=True); time.sleep(600)"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program, running.address], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            client.stdout.readline()
            running.wait_until(lambda page: page['translator_running_sequences{model="en-it-lstm"}'] > 0)
            client.kill()
        running.wait_for('translator_running_sequences{model="en-it-lstm"}', 0)
    running.settled()


def test_calls_that_are_cancelled_in_thousands_cost_the_others_nothing(running: RunningServer) -> None:
    with grpc.insecure_channel(running.address) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        for _ in range(3000):
            stub.Translate.future(long_request()).cancel()
        running.wait_for('translator_running_sequences{model="en-it-lstm"}', 0)
        assert stub.Translate(make_request("Yes."), timeout=PATIENCE_SECONDS).items
    running.settled()


def flood_until_closed(server: RunningServer, between: Callable[[], object]) -> None:
    """Begin and cancel calls, again and again, with something else in between."""
    flood = RawConnection(server.address, PATIENCE_SECONDS)
    until = time.monotonic() + PATIENCE_SECONDS
    with flood.connection, contextlib.suppress(ConnectionError):
        while time.monotonic() < until:
            flood.send_cancelled_calls()
            between()
        raise AssertionError("the connection is still open")


def test_who_cancels_without_end_loses_the_connection_and_others_go_on(start_server: StartServer) -> None:
    """Each such call takes a turn of the event loop, and those that wait for theirs are answered after it."""
    limits = ("--max-streams=32", "--max-cancelled-calls=500")
    with start_server(RECURRENT, "--slots=1", *limits) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)

            def translate() -> None:
                assert stub.Translate(make_request("Yes."), timeout=PATIENCE_SECONDS).items

            flood_until_closed(server, between=translate)
            translate()
        page = server.settled()
        assert page["translator_closed_connections_total"] == 1
        assert page["translator_abandoned_calls_total"] > 500
        assert handled(page).keys() == {"OK"}, "calls that nobody read are none"
        assert server.log.read_text().count("closed a connection of ipv4:127.0.0.1") == 1


def test_a_call_without_a_message_is_an_invalid_argument(running: RunningServer) -> None:
    """By itself gRPC would not answer it at all."""
    with grpc.insecure_channel(running.address) as channel:
        call = channel.stream_unary(TRANSLATE, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as caught:
            call(iter(()), timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "there is no message"


METHODS = {
    "health check": ("/grpc.health.v1.Health/Check", "unary_unary"),
    "health watch": ("/grpc.health.v1.Health/Watch", "unary_stream"),
    "reflection": ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"),
    "reload": ("/admin.v1.AdminService/ReloadModels", "unary_unary"),
}


@pytest.mark.parametrize(
    ("place", "method"),
    [
        ("address", "health check"),
        ("address", "health watch"),
        ("address", "reflection"),
        ("health", "health check"),
        ("health", "health watch"),
        ("admin", "reflection"),
        ("admin", "reload"),
    ],
)
def test_bytes_that_are_no_message_are_an_invalid_argument_everywhere(
    running: RunningServer, place: str, method: str
) -> None:
    path, kind = METHODS[method]
    with grpc.insecure_channel(getattr(running, place)) as channel:
        method_of_channel = getattr(channel, kind)
        call = method_of_channel(path, request_serializer=bytes, response_deserializer=bytes)
        noise = b"\xff" * 20
        request = iter([noise]) if kind == "stream_stream" else noise
        with pytest.raises(grpc.RpcError) as caught:
            list(call(request, timeout=PATIENCE_SECONDS))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the message does not parse"


NEVER_BEGUN = {
    "silent": b"",
    "half of the preface": b"PRI * HTTP/2.0\r\n",
    "the preface and no settings": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def connected(server: RunningServer, first_words: bytes) -> socket.socket:
    host, port = server.address.split(":")
    connection = socket.create_connection((host, int(port)), PATIENCE_SECONDS)
    connection.sendall(first_words)
    return connection


def wait_until_closed(connection: socket.socket) -> None:
    """What the server says before, its settings, is of no matter."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4096):
            pass


def test_connections_that_say_nothing_keep_nobody_out(running: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for i in range(300):
            first_words = list(NEVER_BEGUN.values())[i % len(NEVER_BEGUN)]
            stack.enter_context(connected(running, first_words))
        channel = stack.enter_context(grpc.insecure_channel(running.address))
        stub = pb_grpc.TranslationServiceStub(channel)
        assert stub.Translate(make_request("Yes."), timeout=PATIENCE_SECONDS).items


def test_a_connection_that_never_begins_is_closed_and_makes_room(start_server: StartServer) -> None:
    limits = (f"--max-connections={len(NEVER_BEGUN)}", "--handshake-seconds=2")
    with start_server(RECURRENT, "--slots=1", *limits) as server, contextlib.ExitStack() as stack:
        started = time.monotonic()
        waiting = [stack.enter_context(connected(server, words)) for words in NEVER_BEGUN.values()]
        for connection in waiting:
            wait_until_closed(connection)
        assert 1 < time.monotonic() - started < 60, "gRPC by itself waits for two minutes"
        with Client(server.address, PATIENCE_SECONDS) as client:
            assert [model.name for model in client.models()] == [RECURRENT.name]


def test_connections_past_the_limit_are_closed_and_those_before_go_on(start_server: StartServer) -> None:
    with start_server(RECURRENT, "--slots=1", "--max-connections=2") as server:
        channels = [
            grpc.insecure_channel(server.address, (("grpc.use_local_subchannel_pool", 1),)) for _ in range(3)
        ]
        stubs = [pb_grpc.TranslationServiceStub(channel) for channel in channels]
        for stub in stubs[:2]:
            stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE_SECONDS)
        with pytest.raises(grpc.RpcError) as caught:
            stubs[2].ListModels(pb.ListModelsRequest(), timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        stubs[0].ListModels(pb.ListModelsRequest(), timeout=PATIENCE_SECONDS)
        for channel in channels:
            channel.close()


def test_a_larger_message_may_be_allowed(start_server: StartServer) -> None:
    with start_server(RECURRENT, "--slots=1", "--max-message-mib=6") as server:
        options = (("grpc.max_receive_message_length", -1),)
        with grpc.insecure_channel(server.address, options) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            uncut = make_request("a" * (5 << 20), segmentation=pb.SEGMENTATION_NONE)
            (item,) = stub.Translate(uncut, timeout=PATIENCE_SECONDS).items
            assert "characters, the limit is" in item.error.message
            with pytest.raises(grpc.RpcError) as caught:
                stub.Translate(make_request("a" * (5 << 20)), timeout=PATIENCE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert f"the limit is {6 << 20}: send fewer texts" in str(caught.value.details())
            with pytest.raises(grpc.RpcError) as caught:
                stub.Translate(make_request("a" * (7 << 20)), timeout=PATIENCE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
