"""What the server remembers of one call, for its log line, its span and its exemplar: never the text."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from server.work.job import JobTimes

REQUEST_ID = "x-request-id"
_PROBE_SERVICE = "grpc.health.v1.Health"
# A client's id goes into logs: nothing that could end a line, forge a field or fill a disk.
_REQUEST_ID_FORM = re.compile(r"[0-9A-Za-z._:-]{1,64}", re.ASCII)
_REQUEST_ID_BYTES = 8
_STAGES_BEFORE, _MODEL_STAGES, _STAGES_AFTER = (
    ("validate", "tokenize"),
    ("queue", "encode", "decode"),
    ("detokenize",),
)
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<span_id>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The caller's span (W3C Trace Context, section 3.2); its tracestate is for systems behind us: none."""

    trace_id: str
    span_id: str
    is_sampled: bool


@dataclass(slots=True)
class Call:
    """One call, from its arrival to its answer; `started` is on the monotonic clock.

    Args:
        model, pair: Of those served, with a comma between several; empty until one is found, for what a
            client asks for is not repeated.
        is_stream: Whether it may go on for ever.
        tenant: Whose call it is, by the access file; empty without one.
        search: The method's name, and how many hypotheses run side by side.
        call_stages: Start and end of each stage that the call as a whole goes through.
        jobs: When the call's texts went through the model.
    """

    service: str
    method: str
    request_id: str
    parent: TraceParent | None = None
    started: float = field(default_factory=time.monotonic)
    started_unix_ns: int = field(default_factory=time.time_ns)
    model: str = ""
    pair: str = ""
    tenant: str = ""
    search: str = ""
    beam_size: int = 0
    is_stream: bool = False
    num_texts: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    call_stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    jobs: list[JobTimes] = field(default_factory=list)

    @property
    def is_probe(self) -> bool:
        """Whether it is a health check: they come every few seconds and tell nothing."""
        return self.service == _PROBE_SERVICE

    def stages(self, ended: float) -> dict[str, tuple[float, float]]:
        """Start and end of each stage that was reached, in order.

        Texts go through the model side by side, so of several each stage lasts from the first that began it
        to the last that left it, and stages overlap. One that the call's end cut short ends with it.
        """
        of_call = self.call_stages
        before = {name: of_call[name] for name in _STAGES_BEFORE if name in of_call}
        after = {name: of_call[name] for name in _STAGES_AFTER if name in of_call}
        return before | _model_stages(self.jobs, ended) | after


def _model_stages(jobs: list[JobTimes], ended: float) -> dict[str, tuple[float, float]]:
    # Read once: a runner may go on writing after a call was cancelled.
    times = [(job.queued, job.joined, job.encoded, job.finished) for job in jobs]
    stages = {}
    for i, name in enumerate(_MODEL_STAGES):
        begun = [(start, moments[i + 1 :]) for moments in times if (start := moments[i]) is not None]
        if begun:
            first = min(start for start, _ in begun)
            last = max(next((m for m in later if m is not None), ended) for _, later in begun)
            stages[name] = (min(first, ended), min(last, ended))
    return stages


# Set by the interceptor and read by the service, which run in one task for each call.
current_call: ContextVar[Call] = ContextVar("current_call")


def begin_call(service: str, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> Call:
    """A call that arrives now, with the id and the trace that its metadata names."""
    texts = {key: value for key, value in metadata or () if isinstance(value, str)}
    parent = texts.get("traceparent")
    return Call(
        service,
        method,
        request_id_of(texts.get(REQUEST_ID, "")),
        parse_traceparent(parent) if parent else None,
    )


def request_id_of(value: str) -> str:
    """A client's id if it has a harmless form, else a new one."""
    return value if _REQUEST_ID_FORM.fullmatch(value) else secrets.token_hex(_REQUEST_ID_BYTES)


def parse_traceparent(value: str) -> TraceParent | None:
    """The caller's span; None for a header that is none."""
    header = _TRACEPARENT.fullmatch(value)
    if header is None or (header["version"] == "00" and header["more"] is not None):
        return None
    return TraceParent(header["trace_id"], header["span_id"], bool(int(header["flags"], 16) & _SAMPLED))
