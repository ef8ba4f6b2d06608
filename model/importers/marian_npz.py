"""Marian's native model files, `.npz`: NumPy's archives of float32 tensors, one of them the options.

Knows the format alone, and nothing of what a tensor is for. Nothing that a file brings is executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from model.importers.errors import ForeignModelError, named, require
from model.importers.marian_file import (
    FLOAT32,
    INT8,
    OPTIONS_NAME,
    MarianFile,
    MarianTensor,
    options_of,
)


def read_marian_npz(path: Path) -> MarianFile:
    """Read a native model file.

    Raises:
        ForeignModelError: It is missing or damaged, would execute something, or holds other than float32 and
            the options; the message names the file and what is wrong.
    """
    arrays = _arrays(path)
    wrong = [
        f"{name} is {array.dtype} of shape {array.shape}, must be float32 and not empty"
        for name, array in arrays.items()
        if name != OPTIONS_NAME and (array.dtype != np.float32 or not array.ndim or not array.size)
    ]
    require(wrong, str(path))
    tensors = dict(_tensors(arrays))
    options = tensors.pop(OPTIONS_NAME, None)
    return MarianFile(options=named(path, lambda: options_of(options)), tensors=tensors)


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, NpzFile):
                return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive raises whatever its bytes happen to say
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    raise ForeignModelError(f"cannot read {path}: a single array, must be an archive")


def _tensors(arrays: dict[str, Any]) -> Iterator[tuple[str, MarianTensor]]:
    for name, array in arrays.items():
        is_options = name == OPTIONS_NAME and array.dtype == np.int8
        kind, stored = (INT8, "<i1") if is_options else (FLOAT32, "<f4")
        data = np.ascontiguousarray(array, stored).tobytes()
        yield name, MarianTensor(name=name, kind=kind, shape=array.shape, data=data)
