"""How the server logs: text for a person, JSON for a machine, and one line for every call.

A line holds nothing of a text. Of what a client sends it holds only a request id of harmless form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from server.telemetry.call import Call

log = logging.getLogger("traghetto.call")

_FIELDS = "fields"  # of a record: what a line says beside its message


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, then any fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line without its traceback."""
        fields = getattr(record, _FIELDS, None) or {}
        return " ".join([super().formatMessage(record), *(f"{k}={v}" for k, v in _flat(fields).items())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, however many lines the message has."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(getattr(record, _FIELDS, None) or {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line)


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Stages one by one: text has no objects."""
    flat = {name: value for name, value in fields.items() if name != "stages"}
    return flat | {f"{name}_seconds": value for name, value in fields.get("stages", {}).items()}


def configure_logs(level: str, log_format: str) -> None:
    """Send everything that the process logs, warnings too, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(capture=True)


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
    if call.tenant:
        fields["tenant"] = call.tenant
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
    log.log(level, "call", extra={_FIELDS: fields})


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
    log.error("a call failed by a fault of the server", extra={_FIELDS: fields})
