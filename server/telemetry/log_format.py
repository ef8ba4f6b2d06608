"""How a process logs: text for a person, JSON for a machine; knows nothing of what is logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

FIELDS = "fields"  # of a record: what a line says beside its message


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, then any fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line without its traceback."""
        fields = getattr(record, FIELDS, None) or {}
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
            **(getattr(record, FIELDS, None) or {}),
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
