"""An artifact's graphs behind plain NumPy calls: slow, one Run at a time, for the proof alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.contract import Pools
from export.manifest import BEAM, ENCODER, GREEDY

Array = NDArray[np.generic]
Floats = NDArray[np.floating[Any]]
Arrays = dict[str, Array]

PADDED_TO = 64
MIN_ROWS = 2  # ONNX Runtime multiplies a single row by another kernel, which sums in another order


@dataclass(frozen=True)
class StepScores:
    """What a decoder step says of n rows.

    Args:
        log_probs: (n, W, V).
        best: For beams the best of them and their ids, each (n, W, 2W).
        hidden: (n, W, E').
        attention: For each layer (n, H, W, C).
    """

    log_probs: NDArray[np.float32]
    best: tuple[NDArray[np.float32], NDArray[np.int64]] | None
    hidden: Floats
    attention: tuple[Floats, ...]


class GraphModel:
    """The three graphs of an artifact on CPU.

    Args:
        folder: Holds `ENCODER`.onnx, `GREEDY`.onnx, `BEAM`.onnx and their weights.
        pools: What a row holds, see `Manifest`.
    """

    def __init__(self, folder: Path, pools: Pools) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in (ENCODER, GREEDY, BEAM)
        }
        self.pools = pools
        outputs = [output.name for output in self.sessions[GREEDY].get_outputs()]
        self._attention = [name for name in outputs if name.startswith("attention_")]

    def new_pools(self, rows: int, beam_size: int, capacity: int) -> Arrays:
        """Zeroed pools for some rows, of `capacity` source positions and target steps."""
        sizes = {
            "rows": rows,
            "beam": beam_size,
            "columns": capacity * beam_size,
            "source_capacity": capacity,
        }
        return {
            spec.name: np.zeros([sizes[a] if isinstance(a, str) else a for a in spec.shape], spec.dtype)
            for spec in (*self.pools.caches, *self.pools.states, *self.pools.memory)
        }

    def encode(self, source: Array, source_length: Array, slot: Array, pools: Arrays) -> None:
        """Run the encoder; its rows of the memory pools are replaced."""
        names = [spec.name for spec in self.pools.memory]
        feeds = {"source": source, "source_length": source_length, "slot": slot}
        feeds |= {name: pools[name] for name in names}
        values: Sequence[Any] = self.sessions[ENCODER].run([f"{name}_out" for name in names], feeds)
        pools.update(zip(names, values, strict=True))

    def step(
        self,
        token: Array,
        position: Array,
        source_length: Array,
        pools: Arrays,
        *,
        is_ancestor: Array | None = None,
        parent: Array | None = None,
    ) -> StepScores:
        """One decoder step over all rows; caches and states are replaced.

        Args:
            is_ancestor, parent: Of the beam graph, which is run if there is one of them and it takes it.
        """
        graph = GREEDY if is_ancestor is None and parent is None else BEAM
        session = self.sessions[graph]
        given: dict[str, Any] = {
            "token": token,
            "position": position,
            "source_length": source_length,
            "is_ancestor": is_ancestor,
            "parent": parent,
            **pools,
        }
        feeds = {i.name: given[i.name] for i in session.get_inputs()}
        written = [spec.name for spec in (*self.pools.caches, *self.pools.states)]
        best_names = ["best_log_probs", "best_token"] if graph == BEAM else []
        names = ["log_probs", *best_names, "hidden", *self._attention]
        values: Sequence[Any] = session.run([*names, *(f"{name}_out" for name in written)], feeds)
        found = dict(zip((*names, *written), values, strict=True))
        pools.update({name: found[name] for name in written})
        best = (found["best_log_probs"], found["best_token"]) if graph == BEAM else None
        attention = tuple(found[name] for name in self._attention)
        return StepScores(found["log_probs"], best, found["hidden"], attention)


def padded_size(length: int) -> int:
    """The next multiple of `PADDED_TO`."""
    return -(-length // PADDED_TO) * PADDED_TO


@dataclass
class Beams:
    """One encoded source in row 0 of its pools, and the prefixes that its last step extended."""

    source_length: int
    pools: Arrays
    prefixes: list[tuple[int, ...]] = field(default_factory=list)
    is_ancestor: NDArray[np.bool_] | None = None


class GraphScorer:
    """Lets the slow searches of model/search.py score with the graphs in place of PyTorch.

    Args:
        graphs: The graphs.
        beam_size: W; 1 takes the greedy graph.
        capacity: Longest source and target, in tokens.
    """

    def __init__(self, graphs: GraphModel, beam_size: int, capacity: int) -> None:
        self.graphs, self.beam_size, self.capacity = graphs, beam_size, capacity

    def encode(self, source: Tensor) -> Beams:
        """Encode a source (1, S)."""
        length = source.shape[1]
        padded = np.zeros((1, length + -length % 8), np.int64)
        padded[:, :length] = source.numpy()
        pools = self.graphs.new_pools(MIN_ROWS, self.beam_size, self.capacity)
        self.graphs.encode(padded, np.array([length]), np.array([0]), pools)
        return Beams(length, pools)

    def decode_step(self, prefix: Tensor, memory: Beams) -> Tensor:
        """Log-probabilities (K, V) after prefixes (K, t), each one token longer than one of the last step."""
        return self.decode_step_with_hidden(prefix, memory)[0]

    def decode_step_with_hidden(self, prefix: Tensor, memory: Beams) -> tuple[Tensor, Tensor]:
        """`decode_step`, and the hidden state (K, E') of each prefix' last token."""
        scores = self.step(prefix, memory)
        count = len(prefix)
        return torch.from_numpy(scores.log_probs[0, :count]), torch.from_numpy(scores.hidden[0, :count])

    def step(self, prefix: Tensor, memory: Beams) -> StepScores:
        """All that the step says; the prefixes' rows are the first K hypotheses of row 0."""
        prefixes = [tuple(row) for row in prefix.tolist()]
        position = prefix.shape[1] - 1
        token = np.full((MIN_ROWS, self.beam_size), prefixes[0][-1], np.int64)
        token[0, : len(prefixes)] = [p[-1] for p in prefixes]
        parent = self._parents(prefixes, memory)
        is_beam = self.beam_size > 1
        scores = self.graphs.step(
            token,
            np.full(MIN_ROWS, position),
            np.full(MIN_ROWS, memory.source_length),
            memory.pools,
            is_ancestor=self._ancestors(parent, memory, position) if is_beam else None,
            parent=np.tile(parent, (MIN_ROWS, 1)) if is_beam else None,
        )
        memory.prefixes = prefixes
        return scores

    def _parents(self, prefixes: list[tuple[int, ...]], memory: Beams) -> NDArray[np.int64]:
        """Which prefix of the last step each goes on from; unused hypotheses do as the first does."""
        found = [memory.prefixes.index(p[:-1]) if memory.prefixes else 0 for p in prefixes]
        return np.array(found + [found[0]] * (self.beam_size - len(found)))

    def _ancestors(self, parent: NDArray[np.int64], memory: Beams, position: int) -> NDArray[np.bool_]:
        columns = self.beam_size * self.capacity
        is_ancestor = np.zeros((MIN_ROWS, self.beam_size, columns), np.bool_)
        if memory.is_ancestor is not None:
            is_ancestor = memory.is_ancestor[:, parent]
        own = np.arange(self.beam_size)
        is_ancestor[:, own, position * self.beam_size + own] = True
        memory.is_ancestor = is_ancestor
        return is_ancestor
