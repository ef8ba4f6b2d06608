"""An artifact's folder: built beside its place under another name, and put there whole."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from export.contract.manifest import MANIFEST_NAME, PROOF_NAME, Manifest
from export.graphs.to_onnx import Exported
from export.proof.checks import Check
from export.versions import library_versions
from export.weights import WeightFile


@contextmanager
def unfinished_folder(output: Path) -> Iterator[Path]:
    """A folder of the output's name that is put in the output's place at the end.

    An older artifact stays until the new one is whole; after an error nothing is left of the new one.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as name:
        folder = Path(name) / output.name
        folder.mkdir()
        yield folder
        _put(folder, output)


def _put(folder: Path, output: Path) -> None:
    folder.chmod(0o755)  # temporary folders are closed to others
    old = output.with_name(f".{output.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    folder.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def write_graphs(folder: Path, exported: Mapping[str, Exported]) -> None:
    """Write graphs and their one weight file, in place of all that are there."""
    for old in folder.glob("*.onnx"):
        old.unlink()
    weights = WeightFile()
    for name, graph in exported.items():
        stored = onnx.ModelProto()
        stored.CopyFrom(graph.model)
        weights.move(stored)
        (folder / f"{name}.onnx").write_bytes(stored.SerializeToString(deterministic=True))
    weights.write(folder)


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
