"""The files of an artifact: where they may lie, and whether they are those that its manifest names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from export.contract.field_types import NumBytes, Sha256

BLOBS = "blobs"


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What a file must be."""

    sha256: Sha256
    num_bytes: NumBytes


def file_info(path: Path) -> FileInfo:
    """Hash a file, reading it piece by piece."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileInfo(sha256=digest.hexdigest(), num_bytes=file.tell())


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a file of an artifact's folder lies there, wherever links lead.

    Inside is the folder itself, whatever path it was named by, and, of a cache as Hugging Face's, the store
    beside its snapshots: models--NAME/snapshots/REVISION/FILE is a link to models--NAME/blobs/HASH.
    """
    root, real = folder.resolve(), path.resolve()
    if real.is_relative_to(root):
        return True
    return root.parent.name == "snapshots" and real.parent == root.parent.parent / BLOBS


def file_faults(folder: Path, files: Mapping[str, FileInfo]) -> Iterator[str]:
    """What is wrong with the files of a folder, each with the hash that it has and the one it must have.

    Args:
        files: By their names there, which are no paths.
    """
    for name, expected in files.items():
        path = folder / name
        if not is_inside(path, folder):
            yield f"{name} is a link out of the artifact's folder, to {path.resolve()}"
        elif not path.is_file():
            yield f"{name} is missing" if not path.exists() else f"{name} is no file"
        elif (actual := file_info(path)) != expected:
            yield (
                f"{name} has sha256 {actual.sha256} ({actual.num_bytes} bytes), "
                f"must have {expected.sha256} ({expected.num_bytes} bytes)"
            )
