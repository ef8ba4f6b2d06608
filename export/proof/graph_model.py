"""An artifact's graphs behind plain NumPy calls: slow, one Run at a time, for the proof alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.contract.graph_names import GraphName
from export.contract.tensors import Pools
from model.text.special_ids import SpecialIds

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
        best: The best of them and their ids, each (n, W, 2W).
        hidden: (n, W, E').
        attention: For each layer (n, H, W, C).
    """

    log_probs: NDArray[np.float32]
    best: tuple[NDArray[np.float32], NDArray[np.int64]]
    hidden: Floats
    attention: tuple[Floats, ...]


class GraphModel:
    """The graphs of an artifact on CPU.

    Args:
        folder: Holds an .onnx file for each, and their weights.
        pools: What a row holds, see `Manifest`.
        special_ids: Of the model's vocabulary.
    """

    def __init__(self, folder: Path, pools: Pools, special_ids: SpecialIds) -> None:
        names = (
            GraphName.ENCODER,
            GraphName.DECODER_STEP,
            GraphName.LOG_PROBS,
            GraphName.CANDIDATES,
            GraphName.ATTENTION,
        )
        self.sessions: dict[str, onnxruntime.InferenceSession] = {
            name: new_session(folder, name) for name in names if has_graph(folder, name)
        }
        self.pools, self.special_ids = pools, special_ids

    def new_pools(self, rows: int, beam_size: int, capacity: int) -> Arrays:
        """Zeroed pools for some rows, of `capacity` source positions and target steps."""
        sizes = {
            "rows": rows,
            "beam": beam_size,
            "hypotheses": rows * beam_size,
            "columns": capacity,
            "source_capacity": capacity,
        }
        return {
            spec.name: np.zeros([sizes[a] if isinstance(a, str) else a for a in spec.shape], spec.dtype)
            for spec in self.pools.specs
        }

    def encode(self, source: Array, source_length: Array, slot: Array, pools: Arrays) -> None:
        """Run the encoder; its rows of the memory pools are replaced."""
        names = [spec.name for spec in self.pools.memory]
        feeds = {"source": source, "source_length": source_length, "slot": slot}
        feeds |= {name: pools[name] for name in names}
        values: Sequence[Any] = self.sessions[GraphName.ENCODER].run([f"{name}_out" for name in names], feeds)
        pools.update(zip(names, values, strict=True))

    def step(
        self, token: Array, position: Array, source_length: Array, parent: NDArray[np.int64], pools: Arrays
    ) -> StepScores:
        """One decoder step over all rows; caches and states are replaced.

        Args:
            token: (n, W).
            position, source_length: (n).
            parent: (n, W), whom of the step before each hypothesis goes on from.
            pools: As `new_pools` makes them.
        """
        found = self.run(GraphName.DECODER_STEP, self.feeds(token, position, source_length, parent, pools))
        written = [spec.name for spec in (*self.pools.caches, *self.pools.states)]
        pools.update({name: found[f"{name}_out"] for name in written})
        found |= self.run(GraphName.LOG_PROBS, found)
        found |= self.run(GraphName.CANDIDATES, found)
        if GraphName.ATTENTION in self.sessions:
            found |= self.run(GraphName.ATTENTION, {**found, **pools, "source_length": source_length})
        attention = tuple(found[name] for name in found if name.startswith("attention_"))
        best = (found["best_log_probs"], found["best_token"])
        return StepScores(found["log_probs"], best, found["hidden"], attention)

    def run(self, graph: str, given: Mapping[str, Array]) -> dict[str, Any]:
        """All outputs of a graph, by name; of what is given it takes its inputs."""
        session = self.sessions[graph]
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {i.name: given[i.name] for i in session.get_inputs()})
        return dict(zip(names, values, strict=True))

    def feeds(
        self, token: Array, position: Array, source_length: Array, parent: NDArray[np.int64], pools: Arrays
    ) -> Arrays:
        """What a decoder step is given; see `step`."""
        given: Arrays = {"token": token, "position": position, "source_length": source_length}
        return given | {"parent": parent, **pools, **self._reordered(parent, pools)}

    def _reordered(self, parent: NDArray[np.int64], pools: Arrays) -> Arrays:
        """Each hypothesis with a copy of its parent's row of the caches."""
        first = np.arange(len(parent))[:, None] * parent.shape[1]  # (n, 1)
        return {spec.name: pools[spec.name][(first + parent).ravel()] for spec in self.pools.caches}


def has_graph(folder: Path, graph: str) -> bool:
    """Whether an artifact has it."""
    return (folder / f"{graph}.onnx").is_file()


def new_session(folder: Path, graph: str) -> onnxruntime.InferenceSession:
    """A graph of an artifact on CPU, in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    path = str(folder / f"{graph}.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def padded_size(length: int) -> int:
    """The next multiple of `PADDED_TO`.

    >>> padded_size(64), padded_size(65)
    (64, 128)
    """
    return -(-length // PADDED_TO) * PADDED_TO


@dataclass
class Beams:
    """One encoded source in row 0 of its pools, and the prefixes that its last step extended."""

    source_length: int
    pools: Arrays
    prefixes: list[tuple[int, ...]] = field(default_factory=list)


class GraphScorer:
    """Lets the slow searches of model/searches/beam_search.py score with the graphs in place of PyTorch.

    Args:
        graphs: The graphs.
        beam_size: W.
        capacity: Longest source and target, in tokens.
    """

    def __init__(self, graphs: GraphModel, beam_size: int, capacity: int) -> None:
        self.graphs, self.beam_size, self.capacity = graphs, beam_size, capacity

    @property
    def special_ids(self) -> SpecialIds:
        """The ids of padding, unknown text, start and end in the model's vocabulary."""
        return self.graphs.special_ids

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
        scores = self.graphs.step(
            token,
            np.full(MIN_ROWS, position),
            np.full(MIN_ROWS, memory.source_length),
            np.tile(self._parents(prefixes, memory), (MIN_ROWS, 1)),
            memory.pools,
        )
        memory.prefixes = prefixes
        return scores

    def _parents(self, prefixes: list[tuple[int, ...]], memory: Beams) -> NDArray[np.int64]:
        """Which prefix of the last step each goes on from; unused hypotheses do as the first does."""
        found = [memory.prefixes.index(p[:-1]) if memory.prefixes else 0 for p in prefixes]
        return np.array(found + [found[0]] * (self.beam_size - len(found)))
