"""The training run over several pods: schemas, rules, and commands that torchrun and traghetto-train take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from model.commands.train import _parser
from tests.deploy.manifests import FOLDER, Document, Manifests, load, render
from tests.programs import installed, run

KINDS = {"job": "Job", "operator": "PyTorchJob"}


def rendered(name: str) -> Manifests:
    return load(FOLDER / "training" / name)


def pod(name: str) -> Document:
    run_of_pods = rendered(name).one(KINDS[name])["spec"]
    owner = run_of_pods if name == "job" else run_of_pods["pytorchReplicaSpecs"]["Worker"]
    spec: Document = owner["template"]["spec"]
    return spec


def torchrun_arguments(name: str) -> list[str]:
    (container,) = pod(name)["containers"]
    assert container["command"] == ["torchrun"]
    return [str(argument) for argument in container["args"]]


def schema_faults(job: Document) -> list[str]:
    script = Path(__file__).with_name("pytorch_job.py")
    finished = run(installed("python"), str(script), text=json.dumps(job))
    assert finished.returncode == 0, finished.stderr
    faults: list[str] = json.loads(finished.stdout)
    return faults


def test_kubernetes_knows_every_field_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(render(FOLDER / "training/job"))
    finished = run(installed("kubernetes-validate"), "-k", "1.37", "--strict", str(tmp_path / "job.yaml"))
    said = finished.stdout + finished.stderr
    assert (finished.returncode, said.count(" passed for resource ")) == (0, 3), said


def test_the_training_operator_knows_every_field_of_its_own() -> None:
    job = rendered("operator").one("PyTorchJob")
    assert schema_faults(job) == []
    job["spec"]["elasticPolicy"] |= {"minReplicas": "2", "misspelt": 1}
    assert schema_faults(job) == [
        "/spec/elasticPolicy/minReplicas must be int",
        "unknown: /spec/elasticPolicy/misspelt",
    ]


@pytest.mark.parametrize("name", KINDS)
def test_torchrun_and_the_trainer_take_their_arguments(name: str) -> None:
    taken = get_args_parser().parse_args(torchrun_arguments(name))
    assert (taken.no_python, taken.training_script) == (True, "traghetto-train")
    trainer = _parser().parse_args(taken.training_script_args)
    assert (str(trainer.data), str(trainer.output)) == ("/data", "/runs/mine")
    mounted = {mount["mountPath"] for mount in pod(name)["containers"][0]["volumeMounts"]}
    assert mounted == {"/data", "/runs", "/dev/shm", "/tmp"}  # noqa: S108 - of the pod


def test_the_pods_of_the_job_find_each_other() -> None:
    job, service = rendered("job").one("Job"), rendered("job").one("Service")
    taken = get_args_parser().parse_args(torchrun_arguments("job"))
    assert int(taken.nnodes) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(taken.nproc_per_node) == int(
        pod("job")["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    )
    name = service["metadata"]["name"]
    assert pod("job")["subdomain"] == name
    assert taken.rdzv_endpoint == f"{job['metadata']['name']}-0.{name}:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]


def test_both_run_the_same_pod() -> None:
    job, operator = pod("job"), pod("operator")
    assert job.pop("subdomain")
    assert job.pop("restartPolicy") == rendered("operator").one("PyTorchJob")["spec"]["pytorchReplicaSpecs"][
        "Worker"
    ].get("restartPolicy")
    (job_container,), (operator_container,) = job.pop("containers"), operator.pop("containers")
    assert job == operator
    flags = job_container.pop("args")
    assert flags[-5:] == operator_container.pop("args")
    assert {job_container.pop("name"), operator_container.pop("name")} == {"train", "pytorch"}
    assert job_container == operator_container
