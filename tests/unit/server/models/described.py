"""Models as they are served, of which nothing is in memory."""

from __future__ import annotations

from pathlib import Path

from export.contract.manifest import Manifest
from server.models.memory import MemoryNeed
from server.models.served_model import ServedModel


def served_model(manifest: Manifest, weights_bytes: int = 1) -> ServedModel:
    """One of its manifest's limits."""
    return ServedModel(
        folder=Path(manifest.name),
        manifest=manifest,
        sha256=manifest.digest(),
        max_source_tokens=manifest.max_source_tokens,
        max_target_tokens=manifest.max_target_tokens,
        need=MemoryNeed(weights_bytes=weights_bytes, num_copies=1, num_runners=1),
    )
