"""Reads files that others must not be able to change, or not even to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class AccessError(ValueError):
    """An access file, or one that it names, that cannot serve; lists every fault."""


def read_guarded(path: Path, *, is_secret: bool = False) -> bytes:
    """The content of a file that only its owner and group may write, and of a secret only they read.

    Raises:
        AccessError: it cannot be read, or has another mode.
    """
    forbidden, whom = (stat.S_IROTH, "read") if is_secret else (stat.S_IWOTH, "written")
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (forbidden | stat.S_IWOTH):
                raise AccessError(
                    f"{path} has mode {mode:04o}, and can be {whom} by anybody: chmod o= {path}"
                )
            return file.read()
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror or error}") from error
