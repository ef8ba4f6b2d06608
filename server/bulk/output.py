"""The folder of a run: a file for each block, whole or not there, and the manifest of what makes them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from server.bulk.blocks import BulkError

MANIFEST = "manifest.json"
_TEMPORARY = ".tmp"


class OutputFolder:
    """Where a run writes, locally or at an address of fsspec; any number of processes may."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._files, self._path = url_to_fs(address)

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Make the folder that of this run.

        Raises:
            BulkError: it is another's.
        """
        names = self.names()
        if MANIFEST not in names:
            if names:
                raise BulkError(
                    f"{self._address} is not empty and has no {MANIFEST}: it is not of this command"
                )
            self._files.makedirs(self._path, exist_ok=True)
            self.write(MANIFEST, json.dumps(manifest, indent=1).encode())
            return
        there = json.loads(self.read(MANIFEST))
        now = json.loads(json.dumps(manifest))
        different = [name for name in {**there, **now} if there.get(name) != now.get(name)]
        if different:
            faults = "; ".join(f"{name} was {there.get(name)}, is {now.get(name)}" for name in different)
            raise BulkError(f"{self._address} has the output of another run: {faults}")

    def names(self) -> set[str]:
        """Of all files that are whole."""
        if not self._files.exists(self._path):
            return set()
        found = (path.rsplit("/", 1)[-1] for path in self._files.ls(self._path, detail=False, refresh=True))
        return {name for name in found if name and not name.endswith(_TEMPORARY)}

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is there whole or not at all, whenever the process ends."""
        temporary = f"{self._path}/{name}.{uuid.uuid4().hex}{_TEMPORARY}"
        with self._files.open(temporary, "wb") as file:
            file.write(content)
            if isinstance(self._files, LocalFileSystem):
                file.flush()
                os.fsync(file.fileno())
        self._files.mv(temporary, f"{self._path}/{name}")

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self._files.cat_file(f"{self._path}/{name}")
        return content

    def clear(self) -> None:
        """Remove what processes that were killed have left."""
        for path in self._files.ls(self._path, detail=False, refresh=True):
            if path.endswith(_TEMPORARY):
                self._files.rm_file(path)
