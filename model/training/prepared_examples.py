"""Examples that `traghetto-prepare` has tokenized, of all corpora, each as often as its weight says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from model.preparation.prepare import prepared_corpora
from model.preparation.shards import Shard
from model.training.batches import Example


class PreparedExamples(Sequence[Example]):
    """The examples of a prepared folder; a weight of 2 has each of a corpus twice, one of 0.5 half of them.

    Args:
        folder: What `traghetto-prepare` wrote.
        weights: By corpus; 1 for those that it does not name.
        seed: Decides which examples a fraction of a weight takes.

    Attributes:
        lengths: Source and target tokens of each example (N, 2).

    Raises:
        DataError: the folder is not prepared, or damaged.
    """

    def __init__(self, folder: Path, weights: Mapping[str, float], seed: int) -> None:
        chance = np.random.default_rng(seed)
        names = list(prepared_corpora(folder))
        self._shards = [Shard(folder / name) for name in names]
        indices = [
            _weighted(len(shard), weights.get(name, 1.0), chance)
            for name, shard in zip(names, self._shards, strict=True)
        ]
        self._index = np.concatenate([np.empty(0, np.int64), *indices])
        self._shard = np.repeat(np.arange(len(indices), dtype=np.uint16), [len(i) for i in indices])
        lengths = [
            np.stack((shard.source_lengths[i], shard.target_lengths[i]), axis=1)
            for shard, i in zip(self._shards, indices, strict=True)
        ]
        self.lengths: NDArray[np.int64] = np.concatenate([np.empty((0, 2), np.int64), *lengths])

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        shard, place = self._shards[self._shard[index]], int(self._index[index])
        return Example(tuple(shard.source(place).tolist()), tuple(shard.target(place).tolist()))


def _weighted(count: int, weight: float, chance: np.random.Generator) -> NDArray[np.int64]:
    """The indices of `count` examples, so many times `weight`."""
    whole = np.tile(np.arange(count, dtype=np.int64), int(weight))
    rest = chance.permutation(count)[: round(count * (weight - int(weight)))]
    return np.concatenate((whole, np.sort(rest)))
