"""A folder that is built beside its place under another name, and put there whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unfinished_folder(output: Path) -> Iterator[Path]:
    """A folder of the output's name that is put in the output's place at the end.

    An older one stays until the new one is whole; after an error nothing is left of the new one.
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
