"""A new artifact takes an old one's place under load: no call fails, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import grpc
import pytest
from grpc_status import rpc_status

from server.config import ServerConfig
from server.models.serving import ServedModels
from server.telemetry.metrics import Metrics
from tests.copied_artifact import copied_artifact
from tests.running_server import RunningServer, StartServer
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

ARTIFACTS = Path(__file__).parents[2] / "export/artifacts"
PATIENCE_SECONDS = 120.0
NAME = "ferry"
# The two models translate it in different words.
TEXT = "Yesterday my sister bought two kilos of red apples at the market near the station."
REQUEST = pb.TranslateRequest(source_language="en", target_language="it", texts=[TEXT])
LOADED, REFUSED, UNCHANGED = (
    admin_pb2.RELOAD_OUTCOME_LOADED,
    admin_pb2.RELOAD_OUTCOME_REFUSED,
    admin_pb2.RELOAD_OUTCOME_UNCHANGED,
)


def artifact_of(folder: Path, model: str, name: str = NAME) -> Path:
    """A bundled artifact under another name."""
    with copied_artifact(ARTIFACTS / model, folder) as manifest:
        manifest["name"] = name
    return folder


@pytest.fixture
def switch(tmp_path: Path) -> Callable[[Path], Path]:
    """Let one path name a folder, and later another, in one step as Kubernetes does."""

    def to(folder: Path) -> Path:
        fresh = tmp_path / "fresh"
        fresh.symlink_to(folder)
        return fresh.rename(tmp_path / "current")

    return to


def reload_models(server: RunningServer) -> list[admin_pb2.ModelReload]:
    with grpc.insecure_channel(server.admin) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        try:
            return list(stub.ReloadModels(admin_pb2.ReloadModelsRequest(), timeout=PATIENCE_SECONDS).models)
        except grpc.RpcError as error:
            refusal = error
    assert refusal.code() is grpc.StatusCode.FAILED_PRECONDITION
    status = rpc_status.from_call(cast("grpc.Call", refusal))
    assert status is not None
    response = admin_pb2.ReloadModelsResponse()
    assert status.details[0].Unpack(response)
    refused = [model for model in response.models if model.outcome == REFUSED]
    assert refusal.details() == (
        f"{len(refused)} of {len(response.models)} artifacts and glossaries refused: {refused[0].message}"
    )
    return list(response.models)


def translate(server: RunningServer) -> pb.TranslateResponse:
    with grpc.insecure_channel(server.address) as channel:
        return pb_grpc.TranslationServiceStub(channel).Translate(REQUEST, timeout=PATIENCE_SECONDS)


@contextmanager
def steady_load(server: RunningServer) -> Iterator[Counter[tuple[str, str]]]:
    """Translate all the time; counts which model gave which text. Any failed call fails the test."""
    found: Counter[tuple[str, str]] = Counter()
    failures: list[grpc.RpcError] = []
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            try:
                answer = translate(server)
            except grpc.RpcError as error:
                failures.append(error)
                return
            found[answer.model.sha256, answer.items[0].translation.text] += 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def test_a_new_artifact_takes_over_and_no_call_fails(
    start_server: StartServer, tmp_path: Path, switch: Callable[[Path], Path]
) -> None:
    old = artifact_of(tmp_path / "v1", "en-it-lstm")
    new = artifact_of(tmp_path / "v2", "en-it")
    with start_server(switch(old), "--slots=2") as server:
        before = translate(server)
        with steady_load(server) as found:
            switch(new)
            (reloaded,) = reload_models(server)
            after = translate(server)
        page = server.scrape()
    assert (reloaded.outcome, reloaded.model, reloaded.message) == (LOADED, NAME, "")
    assert before.model.sha256 != after.model.sha256 == reloaded.sha256
    assert before.items[0].translation.text != after.items[0].translation.text
    # Each answer is one model's, whole: never a mixture, never one model's text under the other's name.
    answers = {(answer.model.sha256, answer.items[0].translation.text) for answer in (before, after)}
    assert set(found) == answers
    shown = [series for series in page if series.startswith("translator_model_info")]
    assert len(shown) == 1
    assert reloaded.sha256 in shown[0]
    assert page['translator_model_reloads_total{outcome="loaded"}'] == 1
    assert page[f'translator_slots{{model="{NAME}"}}'] == 2


def test_a_bad_artifact_is_refused_and_the_old_one_goes_on(
    start_server: StartServer, tmp_path: Path, switch: Callable[[Path], Path]
) -> None:
    bad = artifact_of(tmp_path / "bad", "en-it-lstm")
    weights = (bad / "weights.bin").read_bytes()
    (bad / "weights.bin").write_bytes(weights[:-1])
    other = artifact_of(tmp_path / "other", "en-it-lstm", "other")
    clash = artifact_of(tmp_path / "clash", "en-it", "other")
    with start_server(switch(artifact_of(tmp_path / "v1", "en-it-lstm")), other, "--slots=2") as server:
        before = translate(server)
        with steady_load(server) as found:
            for folder, message in (
                (bad, "weights.bin has sha256"),
                (clash, "share a name"),
                (tmp_path, "no artifact"),
            ):
                switch(folder)
                refused, unchanged = reload_models(server)
                assert (refused.outcome, refused.sha256) == (REFUSED, before.model.sha256)
                assert message in refused.message
                assert (unchanged.outcome, unchanged.model) == (UNCHANGED, "other")
            command = [sys.executable, "-m", "server.commands.reload", "--server", server.admin]
            told = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
            assert (told.returncode, told.stderr) == (1, "")
            first, second = told.stdout.splitlines()
            assert ("refused" in first, "no artifact" in first, "unchanged" in second) == (True, True, True)
        page = server.scrape()
        assert translate(server) == before
        log = server.log.read_text()
    assert set(found) == {(before.model.sha256, before.items[0].translation.text)}
    assert page['translator_model_reloads_total{outcome="refused"}'] == 4
    assert page['translator_model_reloads_total{outcome="unchanged"}'] == 4
    assert "weights.bin has sha256" in log


def test_sighup_does_the_same(
    start_server: StartServer, tmp_path: Path, switch: Callable[[Path], Path]
) -> None:
    with start_server(switch(artifact_of(tmp_path / "v1", "en-it-lstm")), "--slots=2") as server:
        before = translate(server)
        switch(artifact_of(tmp_path / "v2", "en-it"))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('translator_model_reloads_total{outcome="loaded"}', 1)
        assert translate(server).model.sha256 != before.model.sha256


def test_a_stop_ends_the_reloads_that_wait_for_it(artifact: Path) -> None:
    """No client can time this: the models stand in the test's own process."""
    metrics = Metrics()

    async def run() -> None:
        served = ServedModels(ServerConfig(artifacts=(artifact,), runners=1, slots=1), metrics)
        served.drain()
        stopping = asyncio.create_task(served.stop())
        served.reload_soon()
        served.reload_soon()
        await asyncio.wait_for(stopping, PATIENCE_SECONDS)

    asyncio.run(run())
    outcome = {"outcome": "refused"}
    assert metrics.registry.get_sample_value("translator_model_reloads_total", outcome) == 2


def test_the_command_says_what_became_of_each_artifact(server: RunningServer) -> None:
    command = [sys.executable, "-m", "server.commands.reload", "--server", server.admin]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    assert "export/artifacts/en-it: unchanged, model en-it, sha256 " in done.stdout
    nowhere = [*command[:-1], "127.0.0.1:1"]
    failed = subprocess.run(nowhere, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert failed.returncode == 2
    assert "traghetto-reload: UNAVAILABLE" in failed.stderr


def test_memory_does_not_grow_with_the_number_of_reloads(
    start_server: StartServer, tmp_path: Path, switch: Callable[[Path], Path]
) -> None:
    """A model that is replaced is forgotten whole: each of these takes some 60 MiB while it is served."""
    folders = [artifact_of(tmp_path / name, model="en-it-lstm") for name in ("first", "second")]
    with copied_artifact(folders[1], tmp_path / "third") as manifest:
        manifest["max_target_tokens"] -= 1
    versions = [folders[0], tmp_path / "third"]
    with start_server(switch(versions[0])) as running:
        resident: list[float] = []
        for i in range(24):
            switch(versions[(i + 1) % 2])
            (reloaded,) = reload_models(running)
            assert reloaded.outcome == LOADED
            resident.append(running.scrape()["process_resident_memory_bytes"] / (1 << 20))
    assert max(resident[-4:]) < max(resident[:8]) + 2 * 60, resident
