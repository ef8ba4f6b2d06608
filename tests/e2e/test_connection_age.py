"""Connections that are ended for their age: gracefully, or after a grace."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import grpc
import pytest

from tests.running_server import StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
ARTIFACT = Path(__file__).parents[2] / "export/artifacts/en-it-lstm"
AGE_SECONDS = 0.01
FLAGS = ("--slots=2", f"--max-connection-age-seconds={AGE_SECONDS}")
# The beginning of HTTP/2, with an empty SETTINGS frame.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
GOAWAY = 7


def frames_until_the_end(address: str) -> list[int]:
    """The types of the frames that an idle connection gets before the server closes it."""
    host, port = address.split(":")
    received = b""
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection:
        connection.sendall(PREFACE)
        while part := connection.recv(4096):
            received += part
    types = []
    while received:
        length = int.from_bytes(received[:3], "big")
        types.append(received[3])
        received = received[9 + length :]
    return types


def test_an_idle_connection_is_told_to_go_and_closed(start_server: StartServer) -> None:
    with start_server(ARTIFACT, *FLAGS, "--max-connection-age-grace-seconds=0.1") as running:
        assert GOAWAY in frames_until_the_end(running.address)


def test_a_call_that_is_older_than_its_connection_may_be_finishes(
    start_server: StartServer, long_request: pb.TranslateRequest
) -> None:
    with start_server(ARTIFACT, *FLAGS) as running, grpc.insecure_channel(running.address) as channel:
        began = time.monotonic()
        answer = pb_grpc.TranslationServiceStub(channel).Translate(long_request, timeout=PATIENCE_SECONDS)
        assert time.monotonic() - began > 2 * AGE_SECONDS
        assert answer.items[0].translation.target_tokens > 0


def test_a_call_that_is_longer_than_the_grace_is_cut_off(
    start_server: StartServer, long_request: pb.TranslateRequest
) -> None:
    with (
        start_server(ARTIFACT, *FLAGS, "--max-connection-age-grace-seconds=0.001") as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            pb_grpc.TranslationServiceStub(channel).Translate(long_request, timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
