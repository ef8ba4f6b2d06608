"""The points of the bench's pictures in one JSON file: what is measured anew replaces what was there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

FILE_NAME = "bench_curves.json"
SERVED, BATCHES, LENGTHS = "served", "batches", "lengths"

Point = dict[str, float]
Curves = dict[str, dict[str, dict[str, list[Point]]]]  # section, model, system


def read_curves(build: Path) -> Curves:
    """Everything that was measured; empty where nothing was."""
    path = build / FILE_NAME
    if not path.is_file():
        return {}
    curves: Curves = json.loads(path.read_text(encoding="utf-8"))
    return curves


def store_curves(build: Path, section: str, model: str, curves: Mapping[str, Sequence[Point]]) -> None:
    """Keep a model's curves, one for each system.

    Args:
        section: SERVED, BATCHES or LENGTHS.
    """
    stored = read_curves(build)
    stored.setdefault(section, {})[model] = {system: list(points) for system, points in curves.items()}
    build.mkdir(parents=True, exist_ok=True)
    (build / FILE_NAME).write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
