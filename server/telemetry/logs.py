"""What the server logs of a call: one line for each, and one for a fault.

A line holds nothing of a text. Of what a client sends it holds only a request id of harmless form.
"""

from __future__ import annotations

import logging
from typing import Any

from server.telemetry.call import Call
from server.telemetry.log_format import FIELDS

log = logging.getLogger("traghetto.call")


def log_call(call: Call, code: str, ended: float, trace_id: str | None) -> None:
    """One line for a call that is over; `ended` is on the monotonic clock.

    A health check gets its line at debug level.
    """
    level = logging.DEBUG if call.is_probe else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "request_id": call.request_id,
        "method": call.method,
        "code": code,
        "seconds": round(ended - call.started, 6),
    }
    if trace_id:
        fields["trace_id"] = trace_id
    if call.num_texts:
        fields["texts"] = call.num_texts
    if call.model:
        fields |= {
            "model": call.model,
            "pair": call.pair,
            "source_tokens": call.source_tokens,
            "target_tokens": call.target_tokens,
        }
    if stages := call.stages(ended):
        fields["stages"] = {name: round(end - start, 6) for name, (start, end) in stages.items()}
    log.log(level, "call", extra={FIELDS: fields})


def log_fault(call: Call, error: BaseException) -> None:
    """A fault of our own: its kind and where it arose, not its message, which could quote the text."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    fields = {
        "request_id": call.request_id,
        "error": type(error).__name__,
        "at": " < ".join(reversed(frames)),
    }
    log.error("a call failed by a fault of the server", extra={FIELDS: fields})
