"""Models that come into memory when a call needs them, and leave it for others or when nobody asks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from server.models.memory import GIB
from tests.copied_artifact import copied_artifact
from tests.e2e.test_operations import NOT_SERVING, SERVING, health_of
from tests.running_server import (
    PATIENCE_SECONDS,
    RECURRENT,
    RunningServer,
    StartServer,
    make_request,
)
from traghetto import Client, ServedLanguagePair, Translation
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

Connect = Callable[[RunningServer], pb_grpc.TranslationServiceStub]
NAMES = ("a", "b", "c")
LOADED = "translator_model_loaded"


def copies(folder: Path) -> list[Path]:
    """Three small models that serve en-it, and each a pair of its own."""
    for name in NAMES:
        with copied_artifact(RECURRENT, folder / name) as manifest:
            manifest["name"] = name
            manifest["language_pairs"] = [["en", "it"], ["it", "en"]] if name == "a" else [["en", "it"]]
    return [folder / name for name in NAMES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return copies(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def flags(folders: list[Path]) -> list[str]:
    """Room for two of the three models."""
    memory = memory_for(2, folders[0])
    return ["--load=on-demand", "--slots=2", "--pool-gib=0.5", "--default-models=en-it=b", memory]


def memory_for(num_models: int, folder: Path) -> str:
    """Room for so many models of such weights."""
    weights = sum(file.stat().st_size for file in folder.iterdir() if file.name != "manifest.json")
    return f"--model-memory-gib={(num_models + 0.5) * weights / GIB}"


@pytest.fixture(scope="module")
def running(start_server: StartServer, folders: list[Path], flags: list[str]) -> Iterator[RunningServer]:
    with start_server(*folders, *flags) as server:
        yield server


def request(model: str, *texts: str, **options: Any) -> pb.TranslateRequest:
    return make_request(*(texts or ("Good morning.",)), model=model, **options)


def loaded(stub: pb_grpc.TranslationServiceStub) -> str:
    """The names of the models in memory."""
    return "".join(model.name for model in stub.ListModels(pb.ListModelsRequest()).models if model.loaded)


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    status: status_pb2.Status | None = rpc_status.from_call(cast("grpc.Call", error))
    assert status is not None
    return status


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {series: value - before.get(series, 0.0) for series, value in after.items()}


def test_nothing_is_loaded_until_it_is_asked_for_and_what_is_idle_makes_room(
    start_server: StartServer, folders: list[Path], flags: list[str], connect: Connect
) -> None:
    with start_server(*folders, *flags) as running:
        stub = connect(running)
        assert running.models == "a(int8),b(int8),c(int8)"
        assert loaded(stub) == ""
        for name, expected in (("a", "a"), ("b", "ab"), ("a", "ab"), ("c", "ac")):
            assert stub.Translate(request(name)).model.name == name
            assert loaded(stub) == expected
        page = running.scrape()
    assert [page[f'{LOADED}{{model="{name}"}}'] for name in NAMES] == [1, 0, 1]
    slots = {series for series in page if series.startswith("translator_slots")}
    assert slots == {'translator_slots{model="a"}', 'translator_slots{model="c"}'}
    assert page['translator_model_loads_total{outcome="loaded"}'] == 3
    assert page['translator_model_unloads_total{reason="room"}'] == 1


def test_a_call_of_several_models_is_answered_where_memory_holds_one_at_a_time(
    start_server: StartServer, tmp_path: Path
) -> None:
    """German as a copy says: through English. Side by side the models would refuse each other for ever."""
    pairs = {"first": [["de", "en"]], "second": [["en", "it"]]}
    for name, served in pairs.items():
        with copied_artifact(RECURRENT, tmp_path / name) as manifest:
            manifest |= {"name": name, "language_pairs": served}
    flags = (
        "--load=on-demand",
        "--slots=2",
        "--pool-gib=0.5",
        "--pivot=en",
        memory_for(1, tmp_path / "first"),
    )
    texts = ["Der Hund schläft unter dem Tisch.", "The cat is sleeping under the table."]
    with (
        start_server(*(tmp_path / name for name in pairs), *flags) as running,
        Client(running.address) as client,
    ):
        (through,) = client.translate(texts[:1], "de", "it")
        both = client.translate(texts, "auto", "it")
    assert [result.model.name for result in both if isinstance(result, Translation)] == ["second"] * 2
    assert isinstance(through, Translation)
    assert isinstance(both[0], Translation)
    assert both[0].text == through.text


def test_pairs_are_listed_with_their_default_first(running: RunningServer) -> None:
    with Client(running.address) as client:
        assert client.language_pairs() == [
            ServedLanguagePair(source_language="en", target_language="it", models=("b", "a", "c")),
            ServedLanguagePair(source_language="it", target_language="en", models=("a",)),
        ]
        assert [pair.models for pair in client.language_pairs("it-IT")] == [("a",)]
        assert client.language_pairs("de") == []
        (result,) = client.translate(["Good morning."], "en", "it")
        assert isinstance(result, Translation)
        assert result.model.name == "b"


def test_a_model_that_others_leave_no_room_is_refused_with_the_figures_and_may_be_asked_again(
    running: RunningServer, connect: Connect
) -> None:
    stub = connect(running)
    long = {"beam_size": 16, "max_target_tokens": 256}
    texts = ["12" * 100] * 200
    calls = [stub.Translate.future(request(name, *texts, **long)) for name in ("a", "b")]
    for name in ("a", "b"):
        running.wait_until_running(2, model=name)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(request("c"))
    for call in calls:
        call.cancel()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "model c needs" in str(caught.value.details())
    assert "GiB of --model-memory-gib are free" in str(caught.value.details())
    retry = error_details_pb2.RetryInfo()
    assert status_of(caught.value).details[0].Unpack(retry)
    running.settled()
    assert stub.Translate(request("c")).model.name == "c"
    assert running.scrape()['translator_requests_rejected_total{reason="model_memory"}'] == 1


def test_a_model_that_cannot_be_loaded_fails_alone_and_is_tried_again_after_a_reload(
    running: RunningServer, connect: Connect, folders: list[Path]
) -> None:
    stub = connect(running)
    for name in ("a", "b"):
        stub.Translate(request(name))
    before = running.scrape()
    weights = folders[2] / "weights.bin"
    content = weights.read_bytes()
    weights.unlink()
    refusals = []
    for _ in range(2):  # the second is not even looked for
        with pytest.raises(grpc.RpcError) as caught:
            stub.Translate(request("c"))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        refusals.append(str(caught.value.details()))
    assert refusals[0] == refusals[1]
    assert "model 'c' cannot be loaded" in refusals[0]
    assert "weights.bin" in refusals[0]
    health = ("", "model/a", "model/c")
    until(lambda: [health_of(running.health, name) for name in health] == [SERVING, SERVING, NOT_SERVING])
    assert stub.Translate(request("a")).model.name == "a"
    grown = growth(before, running.scrape())
    assert grown['translator_model_loads_total{outcome="failed"}'] == 1
    assert grown['translator_requests_rejected_total{reason="model_load"}'] == 2
    weights.write_bytes(content)
    with grpc.insecure_channel(running.admin) as channel:
        admin_pb2_grpc.AdminServiceStub(channel).ReloadModels(admin_pb2.ReloadModelsRequest())
    until(lambda: health_of(running.health, "model/c") == SERVING)
    assert stub.Translate(request("c")).model.name == "c"


def test_a_folder_that_holds_another_version_is_not_served_until_a_reload(
    running: RunningServer, connect: Connect, folders: list[Path]
) -> None:
    stub = connect(running)
    for name in ("a", "b"):
        stub.Translate(request(name))
    path = folders[2] / "manifest.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"max_target_tokens": fields["max_target_tokens"] - 1}))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(request("c"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "model 'c' is being replaced" in str(caught.value.details())
    with grpc.insecure_channel(running.admin) as channel:
        answer = admin_pb2_grpc.AdminServiceStub(channel).ReloadModels(admin_pb2.ReloadModelsRequest())
    assert answer.models[2].outcome == admin_pb2.RELOAD_OUTCOME_LOADED
    assert loaded(stub) == "ab"
    assert stub.Translate(request("c")).model.sha256 == answer.models[2].sha256


def test_memory_does_not_grow_with_the_number_of_loads(running: RunningServer, connect: Connect) -> None:
    """A model that was dropped is forgotten whole: each of these takes some 25 MiB while it is served."""
    stub, resident = connect(running), []
    loads = running.scrape()['translator_model_loads_total{outcome="loaded"}']
    for i in range(12):
        stub.Translate(request(NAMES[i % 3]))
        resident.append(running.scrape()["process_resident_memory_bytes"] / (1 << 20))
    assert running.scrape()['translator_model_loads_total{outcome="loaded"}'] >= loads + 10
    assert max(resident[-3:]) < max(resident[:4]) + 2 * 25, resident


def test_a_model_that_nobody_asks_for_leaves_memory_and_comes_back(
    start_server: StartServer, folders: list[Path], connect: Connect
) -> None:
    with start_server(folders[0], "--slots=2", "--idle-unload-seconds=0.2") as server:
        stub = connect(server)
        for _ in range(2):
            server.wait_for(f'{LOADED}{{model="a"}}', 0)
            assert 'translator_slots{model="a"}' not in server.scrape()
            assert stub.Translate(request("a")).model.name == "a"
        assert server.scrape()['translator_model_loads_total{outcome="loaded"}'] == 2
