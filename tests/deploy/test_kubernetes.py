"""The manifests against the schemas of Kubernetes and of its extensions, and against checkov's rules."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import (
    COMBINATIONS,
    COMPONENTS,
    CUSTOM_GROUPS,
    FOLDER,
    OVERLAYS,
    Document,
    combine,
    load,
    render,
)
from tests.programs import installed, node_command, run

# The first with image volumes switched on, and the newest that the checker knows.
KUBERNETES_VERSIONS = ("1.35", "1.37")
SKIPPED = {"CKV_K8S_15", "CKV_K8S_22"}  # each with its reason, in an annotation


def is_custom(document: Document) -> bool:
    return str(document["apiVersion"]).startswith(CUSTOM_GROUPS)


def custom_faults(documents: list[Document]) -> list[str | None]:
    script = Path(__file__).with_name("custom_resources.mjs")
    finished = run(*node_command(script), text=json.dumps(documents))
    assert finished.returncode == 0, finished.stderr
    faults: list[str | None] = json.loads(finished.stdout)
    return faults


@pytest.fixture(scope="session")
def custom(deployments: dict[str, Path]) -> list[Document]:
    return [
        document
        for folder in deployments.values()
        for document in load(folder).documents
        if is_custom(document)
    ]


def test_every_component_is_in_a_combination() -> None:
    assert {name for parts in COMBINATIONS.values() for name in parts} == set(COMPONENTS)


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_each_folder_renders_as_it_is(folder: str) -> None:
    assert load(FOLDER / folder).server["ports"]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_kubernetes_knows_every_field(version: str, deployments: dict[str, Path], tmp_path: Path) -> None:
    files = []
    for name, folder in deployments.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(render(folder))
    finished = run(installed("kubernetes-validate"), "-k", version, "--strict", *map(str, files))
    said = (finished.stdout + finished.stderr).splitlines()
    problems = [line for line in said if not line.startswith("INFO ")]
    assert all(
        "Couldn't find schema" in line and any(g in line for g in CUSTOM_GROUPS) for line in problems
    ), problems
    passed = sum(" passed for resource " in line for line in said)
    documents = [document for folder in deployments.values() for document in load(folder).documents]
    assert passed == sum(not is_custom(document) for document in documents) > 90
    assert finished.returncode == 0


def test_a_misspelt_field_would_be_found(deployments: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        render(deployments["cpu"]).replace("minReadySeconds", "minReadySecond")
    )
    checked = run(installed("kubernetes-validate"), "-k", "1.37", "--strict", str(tmp_path / "all.yaml"))
    assert checked.returncode != 0
    assert "minReadySecond" in checked.stdout + checked.stderr


def test_the_extensions_know_every_field(custom: list[Document]) -> None:
    assert {document["kind"] for document in custom} == {
        "Certificate",
        "GRPCRoute",
        "PodMonitor",
        "PrometheusRule",
        "ScaledObject",
    }
    assert custom_faults(custom) == [None] * len(custom)


def test_faults_in_extensions_would_be_found(custom: list[Document]) -> None:
    def spoilt(kind: str, **fields: Any) -> Document:
        document = deepcopy(next(one for one in custom if one["kind"] == kind))
        document["spec"] |= fields
        return document

    kinds = sorted({document["kind"] for document in custom})
    assert custom_faults([spoilt(kind, misspelt=1) for kind in kinds]) == ["unknown: spec/misspelt"] * len(
        kinds
    )
    wrong = [spoilt("ScaledObject", maxReplicaCount="8"), spoilt("PodMonitor") | {"kind": "PodWatcher"}]
    faults = custom_faults(wrong)
    assert "maxReplicaCount must be integer" in str(faults[0])
    assert "no schema for PodWatcher" in str(faults[1])


def test_checkov_finds_nothing_that_is_not_explained(deployments: dict[str, Path], tmp_path: Path) -> None:
    training = combine(tmp_path / "mine", ["training/job"])
    for name, folder in [*deployments.items(), ("training", training)]:
        (tmp_path / f"{name}.yaml").write_text(render(folder))
    finished = run(
        installed("checkov"),
        "-d",
        str(tmp_path),
        "--framework",
        "kubernetes",
        "--skip-download",
        "-o",
        "json",
    )
    results = json.loads(finished.stdout)["results"]
    assert [(check["check_id"], check["resource"]) for check in results["failed_checks"]] == []
    assert {check["check_id"] for check in results["skipped_checks"]} == SKIPPED
    assert all(len(check["check_result"]["suppress_comment"]) > 30 for check in results["skipped_checks"])
    assert len(results["passed_checks"]) > 80 * len(deployments)
