"""The Dockerfile as it is written: pinned, without root, and nothing in the last stages for a build alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deploy.dockerfile import DOCKERFILE, REPOSITORY, context_names, read_stages
from tests.deploy.manifests import Manifests
from tests.programs import installed, run

STAGES = read_stages()
TARGETS = ("serve", "serve-cuda", "bundled", "gateway", "models", "export", "models-exported", "train")


def lineage(name: str) -> list[str]:
    """A stage and those it begins as."""
    return [name, *lineage(STAGES[name].base)] if name in STAGES else []


def inherited(name: str, instruction: str) -> list[str]:
    return [value for stage in lineage(name) for value in STAGES[stage].all(instruction)]


def test_hadolint_finds_nothing() -> None:
    finished = run(installed("hadolint"), str(DOCKERFILE))
    assert (finished.returncode, finished.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo ls\n")
    finished = run(installed("hadolint"), str(tmp_path / "Dockerfile"))
    assert finished.returncode == 1
    assert {"DL3003", "DL3004", "DL3006"} <= set(re.findall(r"DL\d+", finished.stdout))


def test_checkov_finds_nothing_that_is_not_explained() -> None:
    finished = run(
        installed("checkov"),
        "-f",
        str(DOCKERFILE),
        "--framework",
        "dockerfile",
        "--skip-download",
        "-o",
        "json",
    )
    results = json.loads(finished.stdout)["results"]
    assert [check["check_id"] for check in results["failed_checks"]] == []
    assert {check["check_id"] for check in results["skipped_checks"]} == {"CKV_DOCKER_7"}
    assert len(results["passed_checks"]) > 100


def test_the_base_image_is_an_argument_with_a_digest_and_without_default() -> None:
    assert STAGES[""].all("ARG") == ["PYTHON_IMAGE", "PYTHON_DIGEST"]
    bases = {stage.base for stage in STAGES.values()} - STAGES.keys()
    assert bases == {"${PYTHON_IMAGE}@${PYTHON_DIGEST}", "scratch"}
    assert "sha256:" not in DOCKERFILE.read_text()


@pytest.mark.parametrize("name", ["serve", "serve-cuda", "bundled", "export", "train"])
def test_programs_run_as_a_numbered_user_without_a_shell(name: str) -> None:
    assert inherited(name, "USER")[0] == "65532:65532"
    (entrypoint,) = inherited(name, "ENTRYPOINT")
    assert json.loads(entrypoint) == [f"traghetto-{name if name in {'export', 'train'} else 'serve'}"]
    assert inherited(name, "CMD") == []
    assert inherited(name, "HEALTHCHECK") == ["NONE"]


@pytest.mark.parametrize("name", ["serve", "serve-cuda", "bundled"])
def test_servers_take_over_one_environment_and_run_nothing(name: str) -> None:
    assert inherited(name, "RUN") == []
    copies = [value for value in inherited(name, "COPY") if value.startswith("--from=")]
    environment = "environment-serve-cuda" if name == "serve-cuda" else "environment-serve"
    assert copies == [f"--from={environment} /opt/traghetto /opt/traghetto"]
    assert inherited(name, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("name", ["models", "models-exported"])
def test_model_images_hold_nothing_else(name: str) -> None:
    assert STAGES[name].base == "scratch"
    assert [instruction for instruction, _ in STAGES[name].instructions] == ["COPY"]


def test_both_servers_are_built_alike() -> None:
    cpu, cuda = STAGES["environment-serve"], STAGES["environment-serve-cuda"]
    assert cpu.base == cuda.base
    alike = [(name, value.replace("serve-cuda.txt", "serve.txt")) for name, value in cuda.instructions]
    assert cpu.instructions == alike


def test_the_gateway_is_built_as_a_server_is_and_runs_as_one() -> None:
    built, server = STAGES["environment-gateway"], STAGES["environment-serve"]
    alike = [(name, value.replace("gateway.txt", "serve.txt")) for name, value in built.instructions]
    assert server.instructions == alike
    assert inherited("gateway", "USER") == inherited("serve", "USER")
    assert json.loads(inherited("gateway", "ENTRYPOINT")[0]) == ["traghetto-gateway"]
    assert "onnxruntime" not in (REPOSITORY / "requirements/gateway.txt").read_text()


def test_everything_is_installed_by_hash_but_torch_and_the_project() -> None:
    commands = [step for stage in STAGES.values() for line in stage.all("RUN") for step in line.split(" && ")]
    installs = [step for step in commands if " install " in step]
    assert len(installs) == 13
    for step in installs:
        assert (
            "--require-hashes" in step
            or "--no-deps --no-index" in step
            or step.endswith("requirements/torch.txt")
        )


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    kept, _ = context_names()
    sources = {
        source.rstrip("/")
        for stage in STAGES.values()
        for value in stage.all("COPY")
        if not value.startswith("--from=")
        for source in value.split()[:-1]
    }
    for source in sources - {"${CHECKPOINT}"}:
        assert (REPOSITORY / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in kept), source
    for name in kept:
        assert any(source == name or source.startswith(f"{name}/") for source in sources), name
    (checkpoint,) = (value for value in STAGES["exported"].all("ARG") if value.startswith("CHECKPOINT="))
    assert (REPOSITORY / checkpoint.removeprefix("CHECKPOINT=")).is_dir()


def test_the_pods_run_the_image_as_it_is(manifests: Manifests) -> None:
    user, group = inherited("serve", "USER")[0].split(":")
    context = manifests.pod["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)
    assert "command" not in manifests.server
    exposed = sorted(int(port) for port in inherited("serve", "EXPOSE")[0].split())
    assert exposed == sorted(port["containerPort"] for port in manifests.server["ports"])


def test_the_bundled_image_holds_what_the_manifests_name(manifests: Manifests) -> None:
    environment = " ".join(STAGES["bundled"].all("ENV"))
    assert f"TRAGHETTO_ARTIFACTS={manifests.settings['TRAGHETTO_ARTIFACTS']}" in environment
    for folder in manifests.settings["TRAGHETTO_ARTIFACTS"].split(":"):
        assert (REPOSITORY / "export" / "artifacts" / Path(folder).name / "manifest.json").exists()
