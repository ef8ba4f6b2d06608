"""What is kept of a call: its id, its caller's trace, and when it was where."""

from __future__ import annotations

import pytest

from server.telemetry.call import Call, TraceParent, begin_call, parse_traceparent, request_id_of
from server.work.job import JobTimes

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize("value", ["a", "A-1.2_3:4", "0" * 64, "123e4567-e89b-12d3-a456-426614174000"])
def test_a_request_id_of_harmless_form_is_kept(value: str) -> None:
    assert request_id_of(value) == value


@pytest.mark.parametrize(
    "value", ["", "0" * 65, "a b", "a\n", 'a"', "a=b", "è", "\u0661", "a\x1b[0m", "a{b}", "a,b"]
)
def test_any_other_request_id_is_replaced(value: str) -> None:
    found = {request_id_of(value) for _ in range(100)}
    assert len(found) == 100
    assert all(request_id_of(new) == new and len(new) == 16 for new in found)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (HEADER, True),
        (HEADER[:-2] + "00", False),
        (HEADER[:-2] + "03", True),
        (HEADER[:-2] + "fe", False),
        ("cc" + HEADER[2:] + "-what-later-versions-add", True),
    ],
)
def test_a_traceparent_names_the_callers_span(header: str, is_sampled: bool) -> None:
    assert parse_traceparent(header) == TraceParent(TRACE_ID, SPAN_ID, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        HEADER.upper(),
        HEADER + "-more",
        HEADER + "\n",
        HEADER[:-1],
        "ff" + HEADER[2:],
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str) -> None:
    assert parse_traceparent(header) is None


def test_a_call_takes_its_id_and_trace_from_its_metadata() -> None:
    metadata = (
        ("x-request-id", "shop-42"),
        ("traceparent", HEADER),
        ("tracestate", "a=b"),
        ("x-bin", b"\xff"),
    )
    call = begin_call("service", "Method", metadata)
    assert (call.request_id, call.parent) == ("shop-42", TraceParent(TRACE_ID, SPAN_ID, is_sampled=True))
    assert begin_call("service", "Method", None).parent is None
    assert begin_call("service", "Method", (("x-request-id", b"bytes"),)).request_id != "bytes"


def call_of(*jobs: JobTimes, **own: tuple[float, float]) -> Call:
    return Call("service", "Method", "id", started=0.0, jobs=list(jobs), call_stages=own)


def test_stages_are_told_in_order_and_only_those_that_were_reached() -> None:
    call = call_of(JobTimes(2, 3, 4, 5), tokenize=(1, 2), validate=(0, 1), detokenize=(5, 6))
    assert list(call.stages(6).items()) == [
        ("validate", (0, 1)),
        ("tokenize", (1, 2)),
        ("queue", (2, 3)),
        ("encode", (3, 4)),
        ("decode", (4, 5)),
        ("detokenize", (5, 6)),
    ]
    assert call_of().stages(1) == {}
    assert call_of(validate=(0, 1)).stages(1) == {"validate": (0, 1)}


def test_a_stage_of_several_texts_lasts_from_the_first_to_the_last() -> None:
    call = call_of(JobTimes(1, 2, 3, 9), JobTimes(1, 5, 6, 7), JobTimes(1, 3, 5, 8))
    assert call.stages(10) == {"queue": (1, 5), "encode": (2, 6), "decode": (3, 9)}


def test_a_stage_that_a_failure_or_the_calls_end_cut_short_ends_with_it() -> None:
    failed_in_the_encoder = JobTimes(1, None, None, 4)
    assert call_of(failed_in_the_encoder).stages(9) == {"queue": (1, 4)}
    still_waiting, still_running = JobTimes(1), JobTimes(1, 2, 3)
    assert call_of(still_waiting).stages(9) == {"queue": (1, 9)}
    assert call_of(still_running).stages(9)["decode"] == (3, 9)


def test_no_stage_ends_after_the_call() -> None:
    call = call_of(JobTimes(1, 2, 3, 11), JobTimes(1, 12, 13, 14))
    assert call.stages(10) == {"queue": (1, 10), "encode": (2, 10), "decode": (3, 10)}
