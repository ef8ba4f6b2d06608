"""The real server and the ways to talk to it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.running_server import (
    ARTIFACT,
    RunningServer,
    StartServer,
    long_request,
    make_request,
    run_server,
    serve_in_vain,
)
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

SLOTS = 4


@pytest.fixture(scope="session")
def artifact() -> Path:
    """The bundled one."""
    return ARTIFACT


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Run a server with more arguments than its addresses; it must end with status 0."""
    return lambda *arguments: run_server(tmp_path_factory.mktemp("server") / "log", *arguments)


@pytest.fixture(scope="session", name="serve_in_vain")
def _serve_in_vain() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a server that is expected to refuse."""
    return serve_in_vain


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> Iterator[RunningServer]:
    """The server that most tests use: few slots, so that texts wait, join and leave."""
    with start_server(ARTIFACT, f"--slots={SLOTS}") as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[[RunningServer], pb_grpc.TranslationServiceStub]]:
    """A stub of a server, closed with the test."""
    channels = []

    def stub_of(running: RunningServer) -> pb_grpc.TranslationServiceStub:
        channels.append(grpc.insecure_channel(running.address))
        return pb_grpc.TranslationServiceStub(channels[-1])

    yield stub_of
    for channel in channels:
        channel.close()


@pytest.fixture
def stub(
    server: RunningServer, connect: Callable[[RunningServer], pb_grpc.TranslationServiceStub]
) -> pb_grpc.TranslationServiceStub:
    """Of the server that most tests use."""
    return connect(server)


@pytest.fixture(scope="session", name="long_request")
def _long_request() -> pb.TranslateRequest:
    """One text whose translation takes hundreds of steps."""
    return long_request()


@pytest.fixture(scope="session", name="make_request")
def _make_request() -> Callable[..., pb.TranslateRequest]:
    """A request for texts from English to Italian, or for another pair, with any options."""
    return make_request
