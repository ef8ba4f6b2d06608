"""Runs given targets through the graphs, sequences joining and leaving the rows, and collects every step.

The server batches in the same way; here it is spelled out row by row, with masked places filled
with noise where a check asks for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.contract.tensors import SOURCE_AXIS
from export.proof.graph_model import Arrays, Floats, GraphModel, StepScores, padded_size

_NOISE = 3.0


@dataclass(frozen=True)
class Traced:
    """A source and what its hypotheses are fed at each step.

    Args:
        source: Token ids.
        tokens: For each step W tokens.
        parents: For each step the W hypotheses of the step before that they extend.
    """

    source: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    parents: tuple[tuple[int, ...], ...]

    @property
    def beam_size(self) -> int:
        """W."""
        return len(self.tokens[0])


@dataclass(frozen=True)
class RowScores:
    """What a step says of one row.

    Args:
        log_probs: (W, V).
        best: The best of them and their ids, each (W, 2W); None of PyTorch.
        hidden: (W, E').
        attention: For each layer (H, W, C).
    """

    log_probs: NDArray[np.float32]
    best: tuple[NDArray[np.float32], NDArray[np.int64]] | None
    hidden: Floats
    attention: tuple[Floats, ...]

    @classmethod
    def of(cls, scores: StepScores, row: int) -> RowScores:
        """A row of a step."""
        best = (scores.best[0][row], scores.best[1][row])
        attention = tuple(layer[row] for layer in scores.attention)
        return cls(scores.log_probs[row], best, scores.hidden[row], attention)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How sequences are laid out in the pools.

    Args:
        rows: Slots; more sequences than rows means that they join as others leave.
        capacity: Source positions and target steps of a row; None for as many as the longest sequence needs.
            Sums depend on it in their last bits, so a server gives a sequence one that follows from itself.
        exact_source: The memory holds exactly the source's positions, so that no mask has anything to
            hide there; for one row.
        exact_target: The caches hold exactly the columns in use, likewise.
        padded_together: Sources of one encoder run are padded to the longest of them; otherwise
            each runs at its own length, rounded up, whoever joins with it.
        noise: Fill what must not matter: later columns, states of hypotheses before their first step,
            padded source ids and positions.
    """

    rows: int
    capacity: int | None = None
    exact_source: bool = False
    exact_target: bool = False
    padded_together: bool = False
    noise: bool = False


def capacity_of(sequences: Sequence[Traced]) -> int:
    """What the longest of them needs."""
    return padded_size(max(max(len(s.source), len(s.tokens)) for s in sequences))


def trace(graphs: GraphModel, sequences: Sequence[Traced], layout: Layout) -> list[list[RowScores]]:
    """What each step says of each sequence, in their order."""
    return _Run(graphs, sequences, layout).results()


class _Run:
    def __init__(self, graphs: GraphModel, sequences: Sequence[Traced], layout: Layout) -> None:
        self.graphs, self.sequences, self.layout = graphs, sequences, layout
        self.random = np.random.default_rng(1)
        self.beam_size = sequences[0].beam_size
        self.capacity = layout.capacity or capacity_of(sequences)
        self.pools = graphs.new_pools(layout.rows, self.beam_size, self.capacity)
        if layout.noise:
            for spec in (*graphs.pools.caches, *graphs.pools.states):
                self.pools[spec.name] = self._noise(self.pools[spec.name].shape, spec.dtype)
        self.slots: list[int | None] = [None] * layout.rows
        self.position = np.zeros(layout.rows, np.int64)
        self.parent = np.zeros((layout.rows, self.beam_size), np.int64)
        self.collected: list[list[RowScores]] = [[] for _ in sequences]

    def _noise(self, shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
        return (self.random.standard_normal(shape) * _NOISE).astype(dtype)

    def results(self) -> list[list[RowScores]]:
        waiting = deque(range(len(self.sequences)))
        while waiting or any(s is not None for s in self.slots):
            free = [row for row, s in enumerate(self.slots) if s is None]
            joined = [(row, waiting.popleft()) for row in free[: len(waiting)]]
            for group in self._encoder_batches(joined):
                self._encode(group)
            self._step()
        return self.collected

    def _encoder_batches(self, joined: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        if self.layout.padded_together:
            if joined:
                yield joined
            return
        sizes = sorted({self._own_size(i) for _, i in joined})
        for size in sizes:
            yield [(row, i) for row, i in joined if self._own_size(i) == size]

    def _own_size(self, index: int) -> int:
        length = len(self.sequences[index].source)
        return length if self.layout.exact_source else length + -length % 8

    def _encode(self, group: list[tuple[int, int]]) -> None:
        sources = [self.sequences[i].source for _, i in group]
        size = max(self._own_size(i) for _, i in group)
        source = np.zeros((len(group), size), np.int64)
        if self.layout.noise:
            source = self.random.integers(1, 50, source.shape)
        for row, ids in enumerate(sources):
            source[row, : len(ids)] = ids
        if self.layout.exact_source:  # memory of exactly this source's length
            fresh = self.graphs.new_pools(self.layout.rows, 1, size)
            self.pools |= {spec.name: fresh[spec.name] for spec in self.graphs.pools.memory}
        slot = np.array([row for row, _ in group])
        self.graphs.encode(source, np.array([len(ids) for ids in sources]), slot, self.pools)
        for (row, i), ids in zip(group, sources, strict=True):
            self.slots[row], self.position[row] = i, 0
            if self.layout.noise:
                self._hide_behind(row, len(ids))

    def _hide_behind(self, row: int, source_length: int) -> None:
        for spec in self.graphs.pools.memory:
            if SOURCE_AXIS in spec.shape:
                positions = np.moveaxis(self.pools[spec.name][row], spec.shape.index(SOURCE_AXIS) - 1, 0)
                positions[source_length:] = self._noise(positions[source_length:].shape, spec.dtype)

    def _step(self) -> None:
        rows = self.layout.rows
        token = np.ones((rows, self.beam_size), np.int64)
        source_length = np.ones(rows, np.int64)
        for row, i in enumerate(self.slots):
            if i is None:
                self.position[row] = 0
                continue
            step = int(self.position[row])
            token[row] = self.sequences[i].tokens[step]
            source_length[row] = len(self.sequences[i].source)
            self.parent[row] = self.sequences[i].parents[step]
        pools = self._exact_columns() if self.layout.exact_target else self.pools
        scores = self.graphs.step(token, self.position, source_length, self.parent, pools)
        self.pools |= pools
        if self.layout.noise:
            self._hide_later_columns()
        self._advance(scores)

    def _hide_later_columns(self) -> None:
        """A run that returns new caches cleans what lies behind each row's position; in place it stays."""
        for spec in self.graphs.pools.caches:
            columns = np.moveaxis(self.pools[spec.name], spec.shape.index("columns"), 1)  # (h, M, ...)
            for hypothesis, later in enumerate(columns):
                start = int(self.position[hypothesis // self.beam_size]) + 1
                later[start:] = self._noise(later[start:].shape, spec.dtype)

    def _exact_columns(self) -> Arrays:
        """The pools cut, or grown, to the columns of this step."""
        columns = int(self.position.max()) + 1
        pools = dict(self.pools)
        for spec in self.graphs.pools.caches:
            old = self.pools[spec.name][:, :, : columns - 1]
            pools[spec.name] = np.concatenate((old, np.zeros_like(self.pools[spec.name][:, :, :1])), axis=2)
        return pools

    def _advance(self, scores: StepScores) -> None:
        for row, i in enumerate(self.slots):
            if i is None:
                continue
            self.collected[i].append(RowScores.of(scores, row))
            self.position[row] += 1
            if len(self.collected[i]) == len(self.sequences[i].tokens):
                self.slots[row] = None
