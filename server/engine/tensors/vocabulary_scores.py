"""Scores of the whole vocabulary, on CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Best, StepOutputs
from server.engine.tensors.bindings import Bindings, Outputs
from server.engine.tensors.decoder_step import ALL_SCORES, SCORES, DecoderStep
from server.engine.tensors.host import HostStorage
from server.engine.tensors.lane_shape import LaneShape


class VocabularyScores:
    """Steps whose scores are of every token; what is not requested costs nothing."""

    def __init__(
        self, graphs: GraphRunner, shape: LaneShape, storage: HostStorage, bindings: Bindings
    ) -> None:
        self._storage, self._bindings = storage, bindings
        self._step = DecoderStep(graphs.session.manifest, bindings, storage, GraphName.DECODER_STEP, "logits")
        self._is_greedy = shape.width == 1
        self._rows = np.arange(shape.rows)

    def step(self, rows: int, requested: Outputs) -> StepOutputs:
        """Run one decoder step and score every token, see `LaneTensors.step`."""
        extra = self._step.run(rows, requested)
        if not requested:
            return StepOutputs(self._greedy(rows, None))
        if requested & SCORES:
            self._bindings.run(GraphName.LOG_PROBS, rows)
        candidates = None
        if GraphName.CANDIDATES in requested:
            self._bindings.run(GraphName.CANDIDATES, rows)
            candidates = Best(
                self._storage.read("best_token", rows), self._storage.read("best_log_probs", rows)
            )
        log_probs = self._storage.read("log_probs", rows) if requested & ALL_SCORES else None
        return StepOutputs(self._greedy(rows, log_probs), candidates, log_probs, extra)

    def _greedy(self, rows: int, log_probs: NDArray[np.float32] | None) -> Best | None:
        """The best token of each row, where there is one hypothesis, by `StepOutputs.greedy`."""
        if not self._is_greedy:
            return None
        logits = self._storage.read("logits", rows)[:, 0]  # (R, V)
        best = logits.argmax(axis=-1)  # (R), 10 times as fast as ArgMax in the graph
        scores = logits if log_probs is None else log_probs[:, 0]  # (R, V)
        return Best(best, scores[self._rows[:rows], best])
