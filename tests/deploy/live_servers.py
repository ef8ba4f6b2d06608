"""Real servers for these tests, and the calls that are sent to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from server.pb.translation.v1 import translation_pb2 as pb
from server.pb.translation.v1 import translation_pb2_grpc as pb_grpc
from tests.e2e.conftest import _LONG_TEXT, ARTIFACT, RunningServer, _run_server


@contextmanager
def running_server(log: Path, *arguments: str) -> Iterator[RunningServer]:
    """The bundled Transformer, served with these arguments."""
    with _run_server(log, ARTIFACT, *arguments) as running:
        yield running


def target_of(running: RunningServer) -> str:
    """HOST:PORT of its metrics."""
    return urlsplit(running.metrics).netloc


@contextmanager
def stub_of(
    running: RunningServer, authorities: bytes | None = None
) -> Iterator[pb_grpc.TranslationServiceStub]:
    """Calls without a retry, with TLS where there are authorities, in PEM, to trust."""
    with (
        grpc.secure_channel(running.address, grpc.ssl_channel_credentials(authorities))
        if authorities
        else grpc.insecure_channel(running.address)
    ) as channel:
        yield pb_grpc.TranslationServiceStub(channel)


def request(*texts: str, target: str = "it", **options: Any) -> pb.TranslateRequest:
    """English into a language."""
    return pb.TranslateRequest(
        source_language="en", target_language=target, texts=texts, options=pb.TranslateOptions(**options)
    )


def long_request() -> pb.TranslateRequest:
    """One text that takes hundreds of steps."""
    return request(_LONG_TEXT, beam_size=16, max_target_tokens=256)
