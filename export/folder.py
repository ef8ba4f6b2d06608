"""The files of an artifact's folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.contract.manifest import MANIFEST_NAME, PROOF_NAME, WEIGHTS_NAME, Manifest
from export.graphs.to_onnx import Exported
from export.proof.checks import Check
from export.versions import library_versions
from export.weights import WeightFile


def write_graphs(folder: Path, exported: Mapping[str, Exported]) -> None:
    """Write graphs and their one weight file, in place of all that are there."""
    for old in folder.glob("*.onnx"):
        old.unlink()
    with (folder / WEIGHTS_NAME).open("wb") as file:
        weights = WeightFile(file)
        for name, graph in exported.items():
            stored = weights.stored(graph.model)
            (folder / f"{name}.onnx").write_bytes(stored.SerializeToString(deterministic=True))


def write_proof(
    folder: Path, checks: Sequence[Check], figures: Mapping[str, Mapping[str, float]], num_sentences: int
) -> None:
    """Write proof.json: every check with its value and limit, and figures that have no limit."""
    content: dict[str, Any] = {
        "num_sentences": num_sentences,
        "checks": [{**dataclasses.asdict(check), "passed": check.passed} for check in checks],
        **figures,
        "proved_with": library_versions("torch", "onnxruntime", "onnxruntime-gpu"),
    }
    (folder / PROOF_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, the last file of an artifact."""
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
