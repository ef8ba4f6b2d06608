"""A small OpenTelemetry collector: it speaks OTLP over gRPC and keeps the spans it gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_SECONDS = 120.0


class Collector(pb_grpc.TraceServiceServicer):
    """What has arrived so far."""

    def __init__(self) -> None:
        self.url = ""
        self._lock = threading.Lock()
        self._requests: list[pb.ExportTraceServiceRequest] = []

    def Export(  # noqa: N802
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        """Keep a batch."""
        with self._lock:
            self._requests.append(request)
        return pb.ExportTraceServiceResponse()

    @property
    def requests(self) -> list[pb.ExportTraceServiceRequest]:
        """Every batch, resource and all."""
        with self._lock:
            return list(self._requests)

    @property
    def spans(self) -> list[Span]:
        """Every span."""
        resources = [resource for request in self.requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def wait_for_calls(self, count: int) -> list[Span]:
        """The spans of so many calls, once they are there."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            calls = [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]
            if len(calls) >= count:
                assert len(calls) == count, [call.name for call in calls]
                return calls
            assert time.monotonic() < until, [span.name for span in self.spans]
            time.sleep(0.05)

    def children(self, parent: Span) -> list[Span]:
        """The spans inside a span."""
        return [span for span in self.spans if span.parent_span_id == parent.span_id]


@contextmanager
def run_collector() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
