"""Ways to reach the real servers of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import grpc

from tests.running_server import RunningServer
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc


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
