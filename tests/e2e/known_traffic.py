"""Traffic of which every effect on the metrics page is known."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

import grpc
import pytest
from google.rpc import code_pb2

from server.telemetry.metrics import RATIOS, SEQUENCES, TOKENS
from tests.e2e.poisoned import POISON
from tests.running_server import RunningServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

NUM_WAITING, MAX_QUEUE = 19, 20
# Texts and how many target tokens their segments may have: each of those that warn does so whatever a model
# makes of it.
LIMITED = (("The cat is on the table.", 40), ("Good morning.", 1))
WARNED = (
    ("cat " * 300, 5),  # split, and the parts too short
    ("x" * 20_000, 40),  # untranslated
    ("Good morn\u00ading.", 40),  # invisible characters
    ("Hello {name}, it is 7.", 1),  # placeholder and number
)
RPC = 'grpc_method="{}",grpc_service="translation.v1.TranslationService",grpc_type="unary"'
TRANSLATE, LIST_MODELS = RPC.format("Translate"), RPC.format("ListModels")
MakeRequest = Callable[..., pb.TranslateRequest]
# What `crowded_traffic` counts, beside the steps and the texts that it finds time for.
CROWDED = {
    f"grpc_server_started_total{{{TRANSLATE}}}": NUM_WAITING + 3,
    f"grpc_server_handling_seconds_count{{{TRANSLATE}}}": NUM_WAITING + 3,
    f'grpc_server_handled_total{{grpc_code="DEADLINE_EXCEEDED",{TRANSLATE}}}': 1,
    f'grpc_server_handled_total{{grpc_code="RESOURCE_EXHAUSTED",{TRANSLATE}}}': 1,
    'translator_finished_total{reason="deadline"}': 1,
    'translator_requests_rejected_total{reason="queue_full"}': 1,
}
CANCELLED = 'translator_finished_total{reason="cancelled"}'
CANCELLED_CALLS = f'grpc_server_handled_total{{grpc_code="CANCELLED",{TRANSLATE}}}'
ENDED_CALLS = f'grpc_server_handled_total{{grpc_code="OK",{TRANSLATE}}}'


def histogram(name: str, labels: str, values: Sequence[float], edges: Sequence[float]) -> dict[str, float]:
    """What a histogram of these values shows; without the buckets that stay empty."""
    found = {f"{name}_count": float(len(values)), f"{name}_sum": float(sum(values))}
    for i, edge in enumerate((*edges, float("inf"))):
        count = sum(bisect_left(edges, value) <= i for value in values)
        if count:
            found[f'{name}_bucket{{le="{float(edge) if edge != float("inf") else "+Inf"}"}}'] = float(count)
    return {_with(series, labels): value for series, value in found.items() if value}


def _with(series: str, labels: str) -> str:
    if not labels:
        return series
    return series.replace("}", f",{labels}}}") if "{" in series else f"{series}{{{labels}}}"


def serial_traffic(stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest) -> dict[str, float]:
    """Greedy, one text at a time, so that each step is known; what it must count."""
    texts = ("Good morning.", "", "cat " * 300)
    request = make_request(*texts, beam_size=1, segmentation=pb.SEGMENTATION_NONE)
    done = [stub.Translate(request).items[0].translation]
    done += [
        item.translation
        for text, limit in LIMITED + WARNED
        for item in stub.Translate(make_request(text, beam_size=1, max_target_tokens=limit)).items
    ]
    stub.ListModels(pb.ListModelsRequest())
    for request in (make_request(), make_request("Yes.", pair="en-de")):
        with pytest.raises(grpc.RpcError):
            stub.Translate(request)
    (failed,) = stub.Translate(make_request(POISON, beam_size=1)).items
    assert failed.error.code == code_pb2.INTERNAL
    segments = [segment for translation in done for segment in translation.segments]
    sources = [segment.source_tokens for segment in segments]
    targets = [segment.target_tokens for segment in segments]
    num_calls, num_sequences = 4 + len(WARNED), len(segments) + 1
    num_cut = sum(segment.stop_reason == pb.STOP_REASON_MAX_TARGET_TOKENS for segment in segments)
    warnings = Counter(warning.reason for translation in done for warning in translation.warnings)
    steps = sum(targets)  # the poisoned one has none
    return {
        f"grpc_server_started_total{{{TRANSLATE}}}": num_calls + 2,
        f"grpc_server_started_total{{{LIST_MODELS}}}": 1,
        f'grpc_server_handled_total{{grpc_code="OK",{TRANSLATE}}}': num_calls,
        f'grpc_server_handled_total{{grpc_code="INVALID_ARGUMENT",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="NOT_FOUND",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="OK",{LIST_MODELS}}}': 1,
        f"grpc_server_handling_seconds_count{{{TRANSLATE}}}": num_calls + 2,
        f"grpc_server_handling_seconds_count{{{LIST_MODELS}}}": 1,
        **{
            f'translator_stage_duration_seconds_count{{stage="{stage}"}}': count
            for stage, count in (
                *((stage, num_calls) for stage in ("validate", "tokenize", "detokenize")),
                # Of sequences that took a slot.
                *((stage, len(segments)) for stage in ("queue", "encode", "decode")),
            )
        },
        'translator_batch_duration_seconds_count{phase="encode"}': num_sequences,
        'translator_batch_duration_seconds_count{phase="decode_step"}': steps,
        **histogram("translator_batch_sequences", 'phase="encode"', [1] * num_sequences, SEQUENCES),
        **histogram("translator_batch_sequences", 'phase="decode_step"', [1] * steps, SEQUENCES),
        **histogram(
            "translator_batch_padding_ratio", 'phase="encode"', [0] * num_sequences, RATIOS
        ),  # alone, none is padded
        **histogram("translator_batch_padding_ratio", 'phase="decode_step"', [0] * steps, RATIOS),
        **histogram("translator_source_tokens", "", sources, TOKENS),
        **histogram("translator_target_tokens", "", targets, TOKENS),
        'translator_tokens_total{direction="source",language_pair="en-it"}': sum(sources),
        'translator_tokens_total{direction="target",language_pair="en-it"}': sum(targets),
        "translator_decode_steps_total": steps,
        'translator_finished_total{reason="eos"}': len(segments) - num_cut,
        'translator_finished_total{reason="length"}': num_cut,
        'translator_finished_total{reason="error"}': 1,
        'translator_requests_rejected_total{reason="invalid"}': 2,
        'translator_output_truncated_total{language_pair="en-it"}': num_cut,
        **{f'translator_warnings_total{{reason="{_label(reason)}"}}': n for reason, n in warnings.items()},
        'translator_inference_errors_total{kind="runtime"}': 1,
    }


def _label(reason: pb.WarningReason.ValueType) -> str:
    return pb.WarningReason.Name(reason).removeprefix("WARNING_REASON_").lower()


def crowded_traffic(
    running: RunningServer,
    stub: pb_grpc.TranslationServiceStub,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> dict[str, float]:
    """One sequence runs and the others wait; a call is refused, one is late, the others give up."""
    before = num_finished(running.scrape())
    calls = [stub.Translate.future(long_request) for _ in range(1 + NUM_WAITING)]
    meanwhile = running.wait_until(
        lambda page: (
            page['translator_running_sequences{model="en-it"}'] == 1
            and page['translator_queue_requests{model="en-it"}'] == NUM_WAITING
        )
    )
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(make_request(*["Yes."] * MAX_QUEUE))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(make_request("Good morning."), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    running.wait_until(lambda page: page['translator_finished_total{reason="deadline"}'] == 1)
    for call in calls:
        call.cancel()
    running.wait_until(lambda page: num_finished(page) == before + NUM_WAITING + 2)
    return meanwhile


def num_finished(page: dict[str, float]) -> float:
    """Sequences that ended, in whatever way."""
    return sum(value for series, value in page.items() if series.startswith("translator_finished_total"))
