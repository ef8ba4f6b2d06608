"""What Kustomize makes of deploy/kubernetes, as documents to look into."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs import kustomize_command, run

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in FOLDER.glob("components/*/kustomization.yaml"))
# Each component beside all those that it can stand beside: they must not undo each other.
COMBINATIONS = {
    "image-keda": (
        "model-image",
        "gpu",
        "monitoring",
        "keda",
        "mtls",
        "certificate",
        "access",
        "writable-root",
    ),
    "download-hpa": ("model-download", "monitoring", "hpa", "route"),
}
# What model-download leaves to its user.
ARCHIVE = {
    "name": "traghetto-model-archive",
    "namespace": "traghetto",
    "literals": ["MODEL_ARCHIVE_URL=https://models.example/en-it.tar", f"MODEL_ARCHIVE_SHA256={'0' * 64}"],
}
PLACEHOLDERS = ("SET-SERVER-IMAGE", "SET-MODEL-IMAGE", "SET-TRAIN-IMAGE")
CUSTOM_GROUPS = ("cert-manager.io", "gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com")

Document = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """The documents of one rendering."""

    documents: tuple[Document, ...]

    def all(self, kind: str) -> list[Document]:
        """Those of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> Document:
        """The only one of a kind."""
        (found,) = self.all(kind)
        return found

    @property
    def pod(self) -> Document:
        """The pod template's spec."""
        spec: Document = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def server(self) -> Document:
        """The server's container."""
        (container,) = self.pod["containers"]
        assert container["name"] == "server"
        return dict(container)

    @property
    def settings(self) -> dict[str, str]:
        """The server's variables, from the ConfigMap that its container names and from the container."""
        names = [source["configMapRef"]["name"] for source in self.server["envFrom"]]
        maps = {document["metadata"]["name"]: document["data"] for document in self.all("ConfigMap")}
        values = {key: value for name in names for key, value in maps[name].items()}
        return values | {entry["name"]: entry["value"] for entry in self.server.get("env", [])}

    @property
    def images(self) -> list[str]:
        """Every image that a node would pull."""
        containers = [*self.pod["containers"], *self.pod.get("initContainers", [])]
        volumes = [volume["image"]["reference"] for volume in self.pod["volumes"] if "image" in volume]
        return [container["image"] for container in containers] + volumes


@cache
def render(folder: Path) -> str:
    """The YAML that would be applied."""
    finished = run(*kustomize_command(), str(folder))
    assert finished.returncode == 0, finished.stderr
    assert "deprecated" not in finished.stderr, finished.stderr
    return finished.stdout


def load(folder: Path) -> Manifests:
    """The documents that would be applied."""
    return Manifests(tuple(yaml.safe_load_all(render(folder))))


def combine(folder: Path, resources: Sequence[str], components: Sequence[str] = (), **fields: Any) -> Path:
    """A kustomization of one's own, as README.md tells to write it, with every image set."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(FOLDER / path, folder.resolve()) for path in resources],
        "components": [
            os.path.relpath(FOLDER / "components" / name, folder.resolve()) for name in components
        ],
        "images": [
            {"name": name, "newName": f"registry.example/{name.lower()}", "digest": f"sha256:{_digest(name)}"}
            for name in PLACEHOLDERS
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content | fields))
    return folder


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
