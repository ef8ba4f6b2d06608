"""Everything that a lane's graphs read and write, and what is done with it when sequences come, go and move.

What there is to bind, the manifest says; no model's architecture is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from export.contract.graph_names import GraphName
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Array, Continuation, StepOutputs
from server.engine.tensors.bindings import Bindings, Outputs
from server.engine.tensors.controls import Controls
from server.engine.tensors.cuda import CudaScores, CudaStorage
from server.engine.tensors.decoder_step import NOTHING
from server.engine.tensors.host import HostStorage
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.shared_columns import SharedColumns
from server.engine.tensors.shortlist import NO_TOKENS, ShortlistScores
from server.engine.tensors.vocabulary_scores import VocabularyScores


class Scores(Protocol):
    """How a lane steps, and what its rows' next tokens are scored with."""

    def step(self, rows: int, requested: Outputs) -> StepOutputs:
        """Run one decoder step over the first rows and score what follows, see `LaneTensors.step`."""


class LaneTensors:
    """A lane's storage, the bindings of graphs to it, and its scores; `new_lane_tensors` puts them together.

    Args:
        graphs: Of the engine.
        scores: What steps and scores. A `ShortlistScores` is told who comes, goes and moves.
    """

    def __init__(
        self,
        graphs: GraphRunner,
        shape: LaneShape,
        storage: HostStorage | CudaStorage,
        bindings: Bindings,
        scores: Scores,
    ) -> None:
        self._graphs, self._shape = graphs, shape
        self._storage, self._bindings, self._scores = storage, bindings, scores
        self._shortlist = scores if isinstance(scores, ShortlistScores) else None
        self._shared = SharedColumns(shape.rows, shape.width)

    @property
    def controls(self) -> Controls:
        """What each row is told."""
        return self._storage.controls

    def encode(
        self,
        source: Array,
        source_length: Array,
        slot: Array,
        forced: Mapping[int, Sequence[int]] = NO_TOKENS,
    ) -> None:
        """Encode sources (b, s) of some lengths (b) into rows `slot` (b) of the memory pools.

        Args:
            forced: By row target tokens that it must be able to score.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        binding = self._bindings.get(GraphName.ENCODER, self._shape.rows)
        for name, array in (("source", source), ("source_length", source_length), ("slot", slot)):
            binding.bind_cpu_input(name, array)
        self._graphs.run(GraphName.ENCODER, binding)
        if self._shortlist is not None:
            lengths = source_length.tolist()
            sources = [ids[:length] for ids, length in zip(source.tolist(), lengths, strict=True)]
            self._shortlist.join(dict(zip(slot.tolist(), sources, strict=True)), forced)

    def step(self, rows: int, requested: Outputs = NOTHING) -> StepOutputs:
        """One decoder step over rows [0, rows).

        Args:
            requested: What to compute and fetch besides the best next tokens, see `Search.extra_outputs`;
                what is not requested costs nothing.

        Returns:
            Views that hold until the next step.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        return self._scores.step(rows, requested)

    def reset(self, row: int, source_length: int = 1) -> None:
        """Tell a row that it is at step 0 of a sequence; a free row is told that of one source token."""
        self._shared.reset(row)
        self._storage.controls.reset(row, source_length)

    def free(self, row: int) -> None:
        """Reset the row of a sequence that has left."""
        self.reset(row)
        if self._shortlist is not None:
            self._shortlist.leave(row)

    def advance(self, continuations: Mapping[int, Continuation]) -> None:
        """Reorder rows' hypotheses for their next step, with their columns of the caches."""
        if self._shape.width > 1 and self._graphs.session.manifest.caches:
            for row, continuation in continuations.items():
                self._reorder(row, continuation.parents)
        self._storage.controls.advance(continuations)

    def _reorder(self, row: int, parents: list[int]) -> None:
        first, num_columns = row * self._shape.width, int(self._storage.controls.position[row]) + 1
        for parent, place, start in self._shared.inherit(row, parents, num_columns):
            self._storage.copy_columns(first + parent, first + place, start, num_columns)

    def move_row(self, row: int, other_row: int) -> None:
        """Copy what a row has, as far as it is in use, over another row's.

        Raises:
            NotImplementedError: the lane is on a GPU, where `ModelSession.can_move_rows` is False.
        """
        if not isinstance(self._storage, HostStorage):
            raise NotImplementedError("on a GPU a sequence keeps its row")
        self._storage.copy_row(row, other_row)
        self._shared.copy_row(row, other_row)
        if self._shortlist is not None:
            self._shortlist.copy_row(row, other_row)

    def close(self) -> None:
        """Release what a GPU holds of it besides its tensors; no step may follow."""
        if isinstance(self._scores, CudaScores):
            self._scores.close()

    def clear_row(self, row: int) -> None:
        """Zero a row of the pools, after a score that is no number."""
        self._storage.clear_row(row)


def new_lane_tensors(graphs: GraphRunner, shape: LaneShape) -> LaneTensors:
    """The tensors of a lane on the session's device, which score by its shortlist if it has one."""
    session = graphs.session
    if session.device == "cuda":
        on_gpu = CudaStorage(graphs, shape)
        bindings = Bindings(graphs, on_gpu)
        return LaneTensors(graphs, shape, on_gpu, bindings, CudaScores(graphs, shape, on_gpu, bindings))
    step_graph = GraphName.DECODER_STEP if session.shortlist is None else GraphName.DECODER_HIDDEN
    storage = HostStorage(session.manifest, shape, step_graph)
    bindings = Bindings(graphs, storage)
    scores = (
        VocabularyScores(graphs, shape, storage, bindings)
        if session.shortlist is None
        else ShortlistScores(graphs, shape, storage, bindings, session.shortlist)
    )
    return LaneTensors(graphs, shape, storage, bindings, scores)
