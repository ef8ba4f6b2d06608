"""Copies of an artifact whose manifest says something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def copied_artifact(artifact: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Copy an artifact; gives the manifest's fields and writes them as they are in the end."""
    shutil.copytree(artifact, folder)
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    yield fields
    path.write_text(json.dumps(fields))
