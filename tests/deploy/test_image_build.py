"""The steps of the Dockerfile's serve target, carried out here: what the image would hold serves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.deploy.dockerfile import REPOSITORY, Builder, read_stages
from tests.deploy.manifests import FOLDER, load
from tests.programs import PATIENCE_SECONDS
from traghetto import Client, Translation

READY = re.compile(r"traghetto ready: grpc=(\S+) metrics=\S+ health=(\S+) admin=\S+ models=(\S+)\n")
# Of the lock, for other systems.
NOT_INSTALLED = {"colorama"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """What the serve target's last stage would hold."""
    builder = Builder(tmp_path_factory.mktemp("image"), read_stages())
    builder.build("serve")
    return builder


def run_inside(image: Builder, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=dict(image.environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def locked() -> dict[str, str]:
    """Name to version of requirements/serve.txt."""
    lock = (REPOSITORY / "requirements" / "serve.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))


def test_the_entrypoint_is_there(image: Builder) -> None:
    (entrypoint,) = read_stages()["runtime"].all("ENTRYPOINT")
    helped = run_inside(image, *json.loads(entrypoint), "--help")
    assert helped.returncode == 0, helped.stderr
    assert "--health-listen" in helped.stdout


@pytest.mark.parametrize("module", ["torch", "onnx", "pip", "setuptools", "cyclonedx_py", "pytest"])
def test_what_only_a_build_needs_is_not_there(image: Builder, module: str) -> None:
    tried = run_inside(image, "python", "-c", f"import {module}")
    assert tried.returncode == 1
    assert f"No module named '{module}'" in tried.stderr


def test_the_environment_is_the_lock_and_the_project(image: Builder) -> None:
    program = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    found = json.loads(run_inside(image, "python", "-I", "-c", program).stdout)
    assert found.pop("traghetto") == found.pop("traghetto-server")
    assert found == {name: version for name, version in locked().items() if name not in NOT_INSTALLED}


def test_the_list_of_contents_is_complete(image: Builder) -> None:
    sbom = json.loads((image.root / "opt" / "traghetto" / "sbom.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "traghetto"
    listed = {
        component["name"].lower().replace("_", "-"): component["version"] for component in sbom["components"]
    }
    for name in ("traghetto", "traghetto-server"):
        listed.pop(name, None)
    assert listed == {name: version for name, version in locked().items() if name not in NOT_INSTALLED}
    assert "timestamp" not in sbom["metadata"]  # the same contents give the same file


def pod_environment(image: Builder) -> Mapping[str, str]:
    """The pod's variables, but on loopback, free ports and the artifacts of this checkout."""
    settings = load(FOLDER / "overlays" / "cpu").settings
    here = {name: "127.0.0.1:0" for name in (*settings, "TRAGHETTO_ADMIN_LISTEN") if name.endswith("_LISTEN")}
    here["TRAGHETTO_ARTIFACTS"] = settings["TRAGHETTO_ARTIFACTS"].replace(
        "/models", str(REPOSITORY / "export" / "artifacts")
    )
    return image.environment | settings | here


@contextmanager
def running(image: Builder, log: Path) -> Iterator[tuple[subprocess.Popen[str], re.Match[str]]]:
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["traghetto-serve"],  # noqa: S607 - found on the image's PATH
            env=dict(pod_environment(image)),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = READY.fullmatch(process.stdout.readline())
            assert ready, log.read_text()
            yield process, ready
        finally:
            process.kill()


def test_it_serves_and_answers_the_probes(image: Builder, tmp_path: Path) -> None:
    probes = load(FOLDER / "overlays" / "cpu").server
    with running(image, tmp_path / "log") as (process, ready):
        address, health, models = ready.groups()
        assert models == "en-it(int8)"
        with grpc.insecure_channel(health) as channel:
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                request = health_pb2.HealthCheckRequest(service=probes[name]["grpc"].get("service", ""))
                stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are not typed
                answer = stub.Check(request, timeout=PATIENCE_SECONDS)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with Client(address) as client:
            (result,) = client.translate(["The cat is on the table."], "en", "it")
        assert isinstance(result, Translation)
        assert result.text == "Il gatto è sul tavolo."
        process.send_signal(getattr(signal, read_stages()["runtime"].all("STOPSIGNAL")[0]))
        assert process.wait(PATIENCE_SECONDS) == 0
