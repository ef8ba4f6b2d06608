"""The form of log lines: one for each record, and for each call what happened to it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest

from server.telemetry.call import Call
from server.telemetry.log_format import JsonFormatter, TextFormatter
from server.telemetry.logs import log_call, log_fault
from server.work.job import JobTimes

HEALTH = "grpc.health.v1.Health"


def record(message: str, *, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("traghetto.test", logging.WARNING, __file__, 1, message, (), exc_info)


def caught(message: str) -> ValueError:
    """An error that was raised, with its traceback."""
    with pytest.raises(ValueError, match=message) as found:
        int(message)
    return found.value


def call_of(service: str = "translation.v1.TranslationService") -> Call:
    return Call(
        service,
        "Translate",
        "shop-42",
        started=100.0,
        model="en-it",
        pair="it-en",
        num_texts=2,
        source_tokens=7,
        target_tokens=9,
        call_stages={"validate": (100.0, 100.25)},
        jobs=[JobTimes(100.25, 100.5, 101.0, 103.0)],
    )


def fields_of(captured: pytest.LogCaptureFixture) -> dict[str, object]:
    (found,) = captured.records
    return found.__dict__["fields"]  # type: ignore[no-any-return]


def test_a_json_line_is_one_object_however_many_lines_the_message_has() -> None:
    line = JsonFormatter().format(record('two\nlines "quoted" è\u2028'))
    assert "\n" not in line
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).tzinfo == UTC
    assert found == {"level": "warning", "logger": "traghetto.test", "message": 'two\nlines "quoted" è\u2028'}


def test_a_json_line_holds_a_traceback() -> None:
    line = JsonFormatter().format(record("failed", error=caught("no number")))
    assert "\n" not in line
    assert json.loads(line)["exception"].splitlines()[-1].startswith("ValueError: ")


def test_a_call_is_told_with_its_tokens_and_its_stages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_call(call_of(), "OK", 103.5, "0af7")
    assert fields_of(caplog) == {
        "request_id": "shop-42",
        "method": "Translate",
        "code": "OK",
        "seconds": 3.5,
        "trace_id": "0af7",
        "texts": 2,
        "model": "en-it",
        "pair": "it-en",
        "source_tokens": 7,
        "target_tokens": 9,
        "stages": {"validate": 0.25, "queue": 0.25, "encode": 0.5, "decode": 2.0},
    }
    (found,) = caplog.records
    assert json.loads(JsonFormatter().format(found)).items() >= fields_of(caplog).items()
    assert (
        TextFormatter()
        .format(found)
        .endswith(
            "INFO traghetto.call call request_id=shop-42 method=Translate code=OK seconds=3.5 trace_id=0af7 "
            "texts=2 model=en-it pair=it-en source_tokens=7 target_tokens=9 "
            "validate_seconds=0.25 queue_seconds=0.25 encode_seconds=0.5 decode_seconds=2.0"
        )
    )


def test_a_call_that_came_to_nothing_has_a_short_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_call(Call("s", "ListModels", "id", started=1.0), "OK", 1.5, None)
    assert fields_of(caplog) == {"request_id": "id", "method": "ListModels", "code": "OK", "seconds": 0.5}


def test_a_health_check_is_told_at_debug_level_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_call(call_of(HEALTH), "OK", 101.0, None)
    assert not caplog.records
    caplog.set_level("DEBUG")
    log_call(call_of(HEALTH), "OK", 101.0, None)
    assert [found.levelname for found in caplog.records] == ["DEBUG"]


def test_nothing_is_made_of_a_call_that_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    log_call(call_of(), "OK", 101.0, None)
    assert not caplog.records


def test_a_fault_is_told_by_kind_and_place_and_not_by_its_message(caplog: pytest.LogCaptureFixture) -> None:
    log_fault(call_of(), caught("the text of a client"))
    fields = fields_of(caplog)
    assert (fields["request_id"], fields["error"]) == ("shop-42", "ValueError")
    assert "test_logs.py" in str(fields["at"])
    assert " caught" in str(fields["at"])
    for formatter in (JsonFormatter(), TextFormatter()):
        assert "client" not in formatter.format(caplog.records[0])
