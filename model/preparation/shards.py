"""Tokenized examples on disk, read through memory maps: a hundred million take a thousand's memory.

A corpus is a folder of four arrays: the ids of all sources and of all targets, one behind the other,
and where each ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.text.parallel_text import DataError

Number = TypeVar("Number", np.uint32, np.int64)
_SIDES = ("source", "target")
_IDS, _ENDS = np.dtype(np.uint32), np.dtype(np.int64)


class ShardWriter:
    """Writes the examples of a corpus, one after the other.

    Args:
        folder: Made if it is not there; what it holds of another run is replaced.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, tuple[BinaryIO, BinaryIO]] = {
            side: (_ids_path(folder, side).open("wb"), _ends_path(folder, side).open("wb")) for side in _SIDES
        }
        self._num_tokens = dict.fromkeys(_SIDES, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pair in self._files.values():
            for file in pair:
                file.close()

    def add(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Append an example: token ids with all special ones."""
        for side, ids in zip(_SIDES, (source, target), strict=True):
            ids_file, ends_file = self._files[side]
            self._num_tokens[side] += len(ids)
            ids_file.write(np.array(ids, _IDS).tobytes())
            ends_file.write(np.array(self._num_tokens[side], _ENDS).tobytes())


class Shard:
    """The examples of a corpus as `ShardWriter` wrote them.

    Args:
        folder: Of the corpus.

    Attributes:
        source_lengths, target_lengths: Tokens of each example (N).

    Raises:
        DataError: a file is missing, or they do not fit each other.
    """

    def __init__(self, folder: Path) -> None:
        self._ids = {side: _map(_ids_path(folder, side), _IDS) for side in _SIDES}
        self._ends = {side: _map(_ends_path(folder, side), _ENDS) for side in _SIDES}
        for side in _SIDES:
            ends, ids = self._ends[side], self._ids[side]
            if len(ends) != len(self._ends["source"]) or (len(ends) and int(ends[-1]) != len(ids)):
                raise DataError(f"{folder} is damaged: {len(ends)} {side} ends for {len(ids)} tokens")
        self.source_lengths = np.diff(self._ends["source"], prepend=0)
        self.target_lengths = np.diff(self._ends["target"], prepend=0)

    def __len__(self) -> int:
        return len(self.source_lengths)

    def source(self, index: int) -> NDArray[np.uint32]:
        """The source ids of an example (S)."""
        return self._example("source", index)

    def target(self, index: int) -> NDArray[np.uint32]:
        """The target ids of an example (T)."""
        return self._example("target", index)

    def _example(self, side: str, index: int) -> NDArray[np.uint32]:
        ends = self._ends[side]
        return self._ids[side][int(ends[index - 1]) if index else 0 : int(ends[index])]


def _map(path: Path, dtype: np.dtype[Number]) -> NDArray[Number]:
    if not path.is_file():
        raise DataError(f"no data file {path}")
    if path.stat().st_size % dtype.itemsize:
        raise DataError(
            f"{path} is damaged: {path.stat().st_size} bytes, must be a multiple of {dtype.itemsize}"
        )
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def _ids_path(folder: Path, side: str) -> Path:
    return folder / f"{side}.bin"


def _ends_path(folder: Path, side: str) -> Path:
    return folder / f"{side}_ends.bin"
