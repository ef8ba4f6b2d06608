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

from export.manifest import BEAM, ENCODER, GREEDY, TensorInfo

Array = NDArray[np.generic]
Pools = dict[str, Array]

PADDED_TO = 64
MIN_ROWS = 2  # ONNX Runtime multiplies a single row by another kernel, which sums in another order


class GraphModel:
    """The three graphs of an artifact on CPU.

    Args:
        folder: Holds `ENCODER`.onnx, `GREEDY`.onnx, `BEAM`.onnx and their weights.
        caches, memory: The pools, see `Manifest`.
    """

    def __init__(self, folder: Path, caches: tuple[TensorInfo, ...], memory: tuple[TensorInfo, ...]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in (ENCODER, GREEDY, BEAM)
        }
        self.caches, self.memory = caches, memory

    def new_pools(self, rows: int, beam_size: int, capacity: int) -> Pools:
        """Zeroed pools for some rows, of `capacity` source positions and target steps."""
        sizes = {"rows": rows, "columns": capacity * beam_size, "source_capacity": capacity}
        return {
            spec.name: np.zeros([sizes[a] if isinstance(a, str) else a for a in spec.shape], spec.dtype)
            for spec in (*self.caches, *self.memory)
        }

    def encode(self, source: Array, source_length: Array, slot: Array, pools: Pools) -> None:
        """Run the encoder; its rows of the memory pools are replaced."""
        feeds = {"source": source, "source_length": source_length, "slot": slot}
        self._run(ENCODER, feeds, [spec.name for spec in self.memory], [], pools)

    def step(
        self,
        token: Array,
        position: Array,
        source_length: Array,
        pools: Pools,
        is_ancestor: Array | None = None,
    ) -> NDArray[np.float32]:
        """One decoder step over all rows: log-probabilities (n, W, V); the caches are replaced."""
        feeds = {"token": token, "position": position, "source_length": source_length}
        if is_ancestor is not None:
            feeds["is_ancestor"] = is_ancestor
        written, read = [s.name for s in self.caches], [s.name for s in self.memory]
        graph = GREEDY if is_ancestor is None else BEAM
        return self._run(graph, feeds, written, read, pools)

    def _run(
        self, graph: str, feeds: dict[str, Array], written: list[str], read: list[str], pools: Pools
    ) -> NDArray[np.float32]:
        feeds |= {name: pools[name] for name in (*written, *read)}
        outputs = [*(["log_probs"] if graph != ENCODER else []), *(f"{name}_out" for name in written)]
        values: Sequence[Any] = self.sessions[graph].run(outputs, feeds)
        pools.update(zip(written, values[-len(written) :], strict=True))
        return values[0]  # type: ignore[no-any-return]


def padded_size(length: int) -> int:
    """The next multiple of `PADDED_TO`."""
    return -(-length // PADDED_TO) * PADDED_TO


@dataclass
class Beams:
    """One encoded source in row 0 of its pools, and the prefixes that its last step extended."""

    source_length: int
    pools: Pools
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
        prefixes = [tuple(row) for row in prefix.tolist()]
        position = prefix.shape[1] - 1
        token = np.full((MIN_ROWS, self.beam_size), prefixes[0][-1], np.int64)
        token[0, : len(prefixes)] = [p[-1] for p in prefixes]
        is_ancestor = self._ancestors(prefixes, memory, position) if self.beam_size > 1 else None
        log_probs = self.graphs.step(
            token,
            np.full(MIN_ROWS, position),
            np.full(MIN_ROWS, memory.source_length),
            memory.pools,
            is_ancestor,
        )
        memory.prefixes = prefixes
        return torch.from_numpy(log_probs[0, : len(prefixes)])

    def _ancestors(self, prefixes: list[tuple[int, ...]], memory: Beams, position: int) -> NDArray[np.bool_]:
        columns = self.beam_size * self.capacity
        is_ancestor = np.zeros((MIN_ROWS, self.beam_size, columns), np.bool_)
        for k in range(self.beam_size):
            prefix = prefixes[k] if k < len(prefixes) else prefixes[0]
            if memory.is_ancestor is not None:
                is_ancestor[:, k] = memory.is_ancestor[:, memory.prefixes.index(prefix[:-1])]
            is_ancestor[:, k, position * self.beam_size + k] = True
        memory.is_ancestor = is_ancestor
        return is_ancestor
