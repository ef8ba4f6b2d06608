"""What an operator relies on: health, reflection, metrics, several models, and a stop that loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.copied_artifact import copied_artifact
from tests.running_server import RunningServer, StartServer, repeated, run_server
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
SERVICE = "translation.v1.TranslationService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
MakeRequest = Callable[..., pb.TranslateRequest]
Connect = Callable[[RunningServer], pb_grpc.TranslationServiceStub]


@pytest.fixture(scope="module")
def second_artifact(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled one under a name that comes before its own."""
    folder = tmp_path_factory.mktemp("artifacts") / "another"
    with copied_artifact(artifact, folder) as manifest:
        manifest["name"] = "another"
    return folder


@pytest.fixture(scope="module")
def two_models(start_server: StartServer, artifact: Path, second_artifact: Path) -> Iterator[RunningServer]:
    with start_server(artifact, second_artifact, "--slots=2") as running:
        yield running


def health_of(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are not typed
        return int(
            stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_SECONDS).status
        )


def test_health_is_serving_on_both_ports(server: RunningServer) -> None:
    for address in (server.address, server.health):
        assert [health_of(address, name) for name in ("", SERVICE)] == [SERVING, SERVING]


def test_reflection_describes_the_service(server: RunningServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        found = database.FindFileContainingSymbol(SERVICE)
    methods = {method.name for service in found.service for method in service.method}
    assert methods == {
        "Translate",
        "TranslateStream",
        "Score",
        "ListModels",
        "ListLanguagePairs",
        "ListGlossaries",
    }


def test_a_stopping_server_finishes_what_runs_and_takes_nothing_new(
    start_server: StartServer,
    artifact: Path,
    connect: Connect,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> None:
    with start_server(artifact, "--slots=1", f"--drain-seconds={PATIENCE_SECONDS}") as running:
        stub = connect(running)
        calls = [stub.Translate.future(long_request)]
        running.wait_until_running(1)
        calls.append(stub.Translate.future(make_request("Good morning.")))
        running.wait_until_queued(1)
        running.process.send_signal(signal.SIGTERM)
        while health_of(running.health) == SERVING:
            pass
        assert health_of(running.health, SERVICE) == NOT_SERVING
        for late in (stub, connect(running)):
            with pytest.raises(grpc.RpcError) as caught:
                late.Translate(make_request("Good evening."), timeout=PATIENCE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not any(call.done() for call in calls)
        for call in calls:
            assert call.result(PATIENCE_SECONDS).items[0].translation.text
        assert running.process.wait(PATIENCE_SECONDS) == 0


def test_a_stop_that_takes_too_long_cuts_calls_off(
    start_server: StartServer, artifact: Path, connect: Connect, long_request: pb.TranslateRequest
) -> None:
    several = repeated(long_request, 21)  # a fast machine is soon through with one
    with start_server(artifact, "--slots=1", "--drain-seconds=0") as running:
        call = connect(running).Translate.future(several)
        running.wait_until_running(1)
        assert running.terminate() == 0
        with pytest.raises(grpc.RpcError) as caught:
            call.result(PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(
    artifact: Path, connect: Connect, long_request: pb.TranslateRequest, tmp_path: Path, number: int
) -> None:
    several = repeated(long_request, 200)
    drain = f"--drain-seconds={PATIENCE_SECONDS * 10}"
    with run_server(tmp_path / "log", artifact, "--slots=1", drain, expected_status=-number) as running:
        call = connect(running).Translate.future(several)
        running.wait_until_running(1)
        running.process.send_signal(number)
        while health_of(running.health) == SERVING:
            pass
        running.process.send_signal(number)
        assert running.process.wait(PATIENCE_SECONDS) == -number
        assert isinstance(call.exception(PATIENCE_SECONDS), grpc.RpcError)


def test_two_models_are_listed_by_name_and_the_first_is_the_default(
    two_models: RunningServer, connect: Connect, make_request: MakeRequest
) -> None:
    assert two_models.models == "en-it(int8),another(int8)"
    stub = connect(two_models)
    listed = stub.ListModels(pb.ListModelsRequest()).models
    assert [model.name for model in listed] == ["another", "en-it"]
    assert len({model.sha256 for model in listed}) == 2
    digests = {model.name: model.sha256 for model in listed}
    answers = {name: stub.Translate(make_request("Good morning.", model=name)) for name in ("", *digests)}
    assert [answers[name].model.name for name in ("", "another", "en-it")] == ["en-it", "another", "en-it"]
    for answer in answers.values():
        assert answer.model.sha256 == digests[answer.model.name]
        assert list(answer.items) == list(answers[""].items)


def test_a_listed_model_tells_what_it_takes(server: RunningServer, connect: Connect) -> None:
    (model,) = connect(server).ListModels(pb.ListModelsRequest()).models
    pairs = [(pair.source_language, pair.target_language) for pair in model.language_pairs]
    assert sorted(pairs) == [("en", "it"), ("it", "en")]
    assert (model.precision, model.architecture) == ("int8", "transformer")
    assert (model.max_source_tokens, model.max_target_tokens) == (256, 256)
    assert len(model.sha256) == 64


def test_limits_of_the_command_line_replace_those_of_the_model(
    start_server: StartServer, artifact: Path, connect: Connect, make_request: MakeRequest
) -> None:
    limits = ("--max-source-tokens=6", "--max-target-tokens=5", "--max-beam-size=2", "--max-texts=2")
    with start_server(artifact, *limits) as running:
        stub = connect(running)
        (model,) = stub.ListModels(pb.ListModelsRequest()).models
        assert (model.max_source_tokens, model.max_target_tokens) == (6, 5)
        texts = ("cat cat cat cat", "cat cat cat cat cat")
        items = stub.Translate(make_request(*texts, beam_size=1, segmentation=pb.SEGMENTATION_NONE)).items
        assert items[0].translation.source_tokens == 6
        assert items[0].translation.target_tokens <= 5
        assert "7 tokens, the limit is 6" in items[1].error.message
        for options in ({"beam_size": 3}, {"beam_size": 1, "max_target_tokens": 6}):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Translate(make_request("Yes.", **options))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert stub.Translate(make_request("Yes.")) == stub.Translate(make_request("Yes.", beam_size=2))


def test_the_server_never_imports_torch() -> None:
    check = (
        "import server.commands.serve, sys; "
        "assert not {'torch', 'onnx', 'model.searches.beam_search'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=PATIENCE_SECONDS)
