"""The lines that a real server writes of its calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

TRANSLATE = "/translation.v1.TranslationService/Translate"
STAGES = ["validate", "tokenize", "queue", "encode", "decode", "detokenize"]
MakeRequest = Callable[..., pb.TranslateRequest]
Connect = Callable[[RunningServer], pb_grpc.TranslationServiceStub]


def with_id(value: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", value),)


def id_of(call: Any) -> str:
    """Of a call or of its error."""
    return str(dict(call.trailing_metadata())["x-request-id"])


def test_every_call_is_a_line_of_json_with_its_id(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    with start_server(artifact, "--log-format=json", "--slots=4") as running:
        stub = connect(running)
        request = make_request(
            *("The cat is on the table.", "Good morning.", "", "cat " * 300),
            segmentation=pb.SEGMENTATION_NONE,
        )
        answer, call = stub.Translate.with_call(request, metadata=with_id("shop-42"))
        assert id_of(call) == "shop-42"
        refusals = []
        for refused in (make_request("Yes.", pair="xx-yy"), make_request()):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Translate(refused, metadata=with_id("not a good id"))
            refusals.append(id_of(caught.value))
        with grpc.insecure_channel(running.address) as channel:
            raw = channel.unary_unary(TRANSLATE, request_serializer=bytes, response_deserializer=bytes)
            with pytest.raises(grpc.RpcError) as caught:
                raw(b"\xff", metadata=with_id("broken"))
            health: Any = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest())
        assert id_of(caught.value) == "broken"
        stub.ListModels(pb.ListModelsRequest())
        page = running.settled()
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    calls = [line for line in lines if line["logger"] == "traghetto.call"]
    first, *refused_calls, broken, listed = calls
    done = [item.translation for item in answer.items[:2]]
    assert list(first["stages"]) == STAGES
    assert sum(first["stages"].values()) <= 2 * first["seconds"], "two texts side by side"
    of_stage = 'translator_stage_duration_seconds_sum{{stage="{}"}}'
    for stage in ("validate", "tokenize", "detokenize"):  # of the only call that got so far
        assert first["stages"][stage] == pytest.approx(page[of_stage.format(stage)], abs=1e-6)
    assert {key: value for key, value in first.items() if key not in ("time", "seconds", "stages")} == {
        "level": "info",
        "logger": "traghetto.call",
        "message": "call",
        "request_id": "shop-42",
        "method": "Translate",
        "code": "OK",
        "texts": 4,
        "model": "en-it",
        "pair": "en-it",
        "source_tokens": sum(translation.source_tokens for translation in done),
        "target_tokens": sum(translation.target_tokens for translation in done),
    }
    assert [(c["request_id"], c["code"]) for c in refused_calls] == [
        (refusals[0], "NOT_FOUND"),
        (refusals[1], "INVALID_ARGUMENT"),
    ]
    assert len({"not a good id", *refusals}) == 3
    assert not any("pair" in c or "model" in c for c in refused_calls)
    assert (broken["request_id"], broken["code"]) == ("broken", "INVALID_ARGUMENT")
    assert (listed["method"], listed["code"]) == ("ListModels", "OK")


def test_text_is_the_default_and_says_the_same(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    with start_server(artifact) as running:
        connect(running).Translate(make_request("Yes."), metadata=with_id("shop-42"))
    (line,) = [line for line in running.log.read_text().splitlines() if " traghetto.call " in line]
    assert " INFO traghetto.call call request_id=shop-42 method=Translate code=OK seconds=0." in line
    assert all(f" {stage}_seconds=" in line for stage in STAGES)


def test_calls_are_not_told_where_only_warnings_are(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    with start_server(artifact, "--log-level=warning") as running:
        _, call = connect(running).Translate.with_call(make_request("Yes."), metadata=with_id("shop-42"))
        assert id_of(call) == "shop-42"
    assert running.log.read_text() == ""
