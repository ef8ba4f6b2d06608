"""Spans of calls, sent to an OpenTelemetry collector (OTLP over gRPC).

Needs the extra `trace`, so it is imported only where --otlp-endpoint is given. A call's spans are made when
it is over, from the times it kept, and leave from a thread of the SDK: nothing is added while it runs.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from server.telemetry.call import Call, TraceParent
from traghetto.version import __version__

_EXPORT_SECONDS = 5.0  # for one batch, and for all that is left when the server stops
# Of a server's span only these are errors; the others are the client's own (semantic conventions for gRPC).
_FAULTS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))


class Tracing:
    """Records calls as spans.

    Args:
        endpoint: URL of the collector; https for TLS.
        ratio: Share of the calls recorded, of those whose caller has not decided for us.
    """

    def __init__(self, endpoint: str, ratio: float) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win: an operator knows the service's place.
        resource = Resource.create({"service.name": "traghetto", "service.version": __version__}).merge(
            OTELResourceDetector().detect()
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS))
        )
        self._tracer = self._provider.get_tracer("traghetto", __version__)

    def record(self, call: Call, code: str, ended: float) -> str | None:
        """Make the spans of a call that is over; its trace id, or None if it is not sampled."""
        shift = call.started_unix_ns - int(call.started * 1e9)

        def unix_ns(moment: float) -> int:
            return int(moment * 1e9) + shift

        span = self._tracer.start_span(
            f"{call.service}/{call.method}",
            context=_context(call.parent),
            kind=SpanKind.SERVER,
            attributes=_attributes(call, code),
            start_time=unix_ns(call.started),
        )
        if span.is_recording():
            inside = set_span_in_context(span, Context())
            for name, (start, end) in call.stages(ended).items():
                child = self._tracer.start_span(name, context=inside, start_time=unix_ns(start))
                child.end(unix_ns(end))
            if code in _FAULTS:
                span.set_status(Status(StatusCode.ERROR))  # no message: an error's could quote the client
        span.end(unix_ns(ended))
        context = span.get_span_context()
        return format_trace_id(context.trace_id) if context.trace_flags.sampled else None

    def close(self) -> None:
        """Send what is left, within a few seconds: a collector that is away must not hold up a stop."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_EXPORT_SECONDS)


def _context(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    caller = SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(caller), Context())


def _attributes(call: Call, code: str) -> dict[str, AttributeValue]:
    """Never the text, and of what the client sent only a request id of harmless form."""
    attributes: dict[str, AttributeValue] = {
        "rpc.system.name": "grpc",
        "rpc.method": f"{call.service}/{call.method}",
        "rpc.response.status_code": code,
        "traghetto.request_id": call.request_id,
    }
    if call.num_texts:
        attributes["traghetto.texts"] = call.num_texts
    if call.model:
        attributes |= {
            "traghetto.model": call.model,
            "traghetto.language_pair": call.pair,
            "traghetto.source_tokens": call.source_tokens,
            "traghetto.target_tokens": call.target_tokens,
            "traghetto.search": call.search,
            "traghetto.beam_size": call.beam_size,
        }
    return attributes
