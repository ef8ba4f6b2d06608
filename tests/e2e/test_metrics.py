"""The metrics page after traffic that is known: exact numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import grpc
import pytest

from tests.running_server import RunningServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

RPC = 'grpc_method="{}",grpc_service="translation.v1.TranslationService",grpc_type="unary"'
TRANSLATE, LIST_MODELS = RPC.format("Translate"), RPC.format("ListModels")
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """By how much each series has grown; 0 for one that has not."""
    grown = {series: value - before.get(series, 0.0) for series, value in after.items()}
    return defaultdict(float, {series: value for series, value in grown.items() if value})


def test_calls_are_counted_by_method_and_code(
    server: RunningServer, stub: Stub, make_request: MakeRequest
) -> None:
    before = server.settled()
    for _ in range(3):
        stub.Translate(make_request("Yes."))
    stub.ListModels(pb.ListModelsRequest())
    for request in (make_request(), make_request("Yes.", pair="en-de"), make_request("Yes.", model="x")):
        with pytest.raises(grpc.RpcError):
            stub.Translate(request)
    grown = growth(before, server.settled())
    assert grown[f"grpc_server_started_total{{{TRANSLATE}}}"] == 6
    assert grown[f"grpc_server_started_total{{{LIST_MODELS}}}"] == 1
    handled = {name: count for name, count in grown.items() if name.startswith("grpc_server_handled_total")}
    assert handled == {
        f'grpc_server_handled_total{{grpc_code="OK",{TRANSLATE}}}': 3,
        f'grpc_server_handled_total{{grpc_code="INVALID_ARGUMENT",{TRANSLATE}}}': 1,
        f'grpc_server_handled_total{{grpc_code="NOT_FOUND",{TRANSLATE}}}': 2,
        f'grpc_server_handled_total{{grpc_code="OK",{LIST_MODELS}}}': 1,
    }
    assert grown[f"grpc_server_handling_seconds_count{{{TRANSLATE}}}"] == 6
    assert grown['translator_requests_rejected_total{reason="invalid"}'] == 3


def test_tokens_stages_and_ends_are_counted(
    server: RunningServer, stub: Stub, make_request: MakeRequest
) -> None:
    before = server.settled()
    texts = ("Good morning.", "", "The cat is on the table.", "cat " * 300)
    items = [
        *stub.Translate(make_request(*texts, segmentation=pb.SEGMENTATION_NONE)).items,
        *stub.Translate(make_request("Good morning.", max_target_tokens=1)).items,
    ]
    grown = growth(before, server.settled())
    done = [items[0].translation, items[2].translation, items[4].translation]
    for side, tokens in (
        ("source", [found.source_tokens for found in done]),
        ("target", [found.target_tokens for found in done]),
    ):
        assert grown[f'translator_tokens_total{{direction="{side}",language_pair="en-it"}}'] == sum(tokens)
        assert grown[f"translator_{side}_tokens_sum"] == sum(tokens)
        assert grown[f"translator_{side}_tokens_count"] == len(tokens)
    stage = 'translator_stage_duration_seconds_count{{stage="{}"}}'
    per_call = [grown[stage.format(name)] for name in ("validate", "tokenize", "detokenize")]
    per_sequence = [grown[stage.format(name)] for name in ("queue", "encode", "decode")]
    assert (per_call, per_sequence) == ([2, 2, 2], [3, 3, 3])
    assert grown['translator_finished_total{reason="eos"}'] == 2
    assert grown['translator_finished_total{reason="length"}'] == 1
    assert grown['translator_output_truncated_total{language_pair="en-it"}'] == 1
    assert grown['translator_batch_sequences_sum{phase="encode"}'] == 3
    steps = grown["translator_decode_steps_total"]
    assert steps == grown['translator_batch_sequences_count{phase="decode_step"}'] > 0


def test_nothing_a_client_sends_becomes_a_label(
    server: RunningServer, stub: Stub, make_request: MakeRequest
) -> None:
    for request in (
        make_request("Zanzibar", model="zanzibar"),
        make_request("Zanzibar", pair="zanzibar-it"),
        make_request("Zanzibar", pair="zan-zi"),
    ):
        with pytest.raises(grpc.RpcError):
            stub.Translate(request)
    stub.Translate(make_request("Zanzibar.", pair="EN-IT"))
    page = " ".join(server.scrape())
    assert "zan" not in page.lower()
    assert 'language_pair="en-it"' in page
    assert 'language_pair="EN' not in page


def test_the_page_says_what_runs_where(server: RunningServer, stub: Stub) -> None:
    page = server.scrape()
    (model,) = stub.ListModels(pb.ListModelsRequest()).models
    provider = 'model="en-it",provider="CPUExecutionProvider",requested="auto"'
    assert page[f"translator_execution_provider_info{{{provider}}}"] == 1
    assert page[f'translator_model_info{{model="en-it",precision="int8",sha256="{model.sha256}"}}'] == 1
    assert page['translator_slots{model="en-it"}'] == 4
    assert page['translator_queue_limit_requests{model="en-it"}'] == 4096
    assert page['translator_model_load_seconds{model="en-it"}'] > 0
    assert any(series.startswith("translator_build_info{version=") for series in page)
